/* What the C programs share: a blocking HTTP/1.1 GET over TCP or TLS into a file, and a one-member
 * ZIP inflated by ISA-L into another. They set the limit that a product can be held to; they check
 * no more than status, length and CRC, and retry nothing. */
#ifndef BULK_H
#define BULK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static inline void write_all(int fd, const void *data, size_t size) {
    const char *at = data;
    while (size) {
        ssize_t n = write(fd, at, size);
        if (n < 0) die("write");
        at += n;
        size -= (size_t)n;
    }
}

/* What a product owes the disk and these otherwise do not: "begin" has it begin to write while a
 * file grows, as the product does; "sync" waits for it as well before the file is closed. */
static int begins, syncs;
static const off_t BEGIN_BYTES = 16 << 20;

static inline void durable(const char *how) {
    syncs = strstr(how, "sync") != NULL;
    begins = syncs || strstr(how, "begin");
}

static inline void wrote(int fd, off_t size, off_t *begun) {
    if (!begins || size - *begun < BEGIN_BYTES) return;
    posix_fadvise(fd, *begun, size - *begun, POSIX_FADV_DONTNEED);
    *begun = size;
}

static inline void finish(int fd) {
    if ((syncs && fsync(fd)) || close(fd)) die("close");
}
#endif
