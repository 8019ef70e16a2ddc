/* A system that does not answer, played to one program by LD_PRELOAD. The environment says where:

   HANG_NAMES=TEXT   names that contain TEXT are looked up for 100 s, in vain
   HANG_FSYNC=TEXT   an fsync of a path that contains TEXT lasts 100 s
   HANG_MARK=PATH    this file is made when one of these begins */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_meant(const char *name, const char *found) {
  const char *text = getenv(name);
  return text && found && strstr(found, text);
}

static void hang(void) {
  const char *mark = getenv("HANG_MARK");
  if (mark) {
    int fd = open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
  }
  for (unsigned left = 100; left;) left = sleep(left);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
      dlsym(RTLD_NEXT, "getaddrinfo");
  if (is_meant("HANG_NAMES", node)) {
    hang();
    return EAI_AGAIN;
  }
  return real(node, service, hints, found);
}

static void hang_if_meant(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return;
  path[size] = 0;
  if (is_meant("HANG_FSYNC", path)) hang();
}

int fsync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  hang_if_meant(fd);
  return real(fd);
}

int fdatasync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  hang_if_meant(fd);
  return real(fd);
}
