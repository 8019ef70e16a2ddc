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
#endif
