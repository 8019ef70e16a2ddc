/* File systems as people have them, played to one program by LD_PRELOAD. The environment says which:

   FS_FOLDER_FSYNC=N   fsync of a folder fails with errno N (SMB, FUSE)
   FS_FILE_FSYNC=N     fsync of a file below FS_BELOW fails with errno N
   FS_FOLDER_OPEN=N    opening a folder to sync it fails with errno N (folders without read)
   FS_STATVFS=zero     0 blocks of 0 are free (FUSE without statfs)
   FS_STATVFS=fail     statvfs fails with ENOSYS
   FS_STATVFS=N        N bytes are free of many
   FS_NO_SHARED_MMAP=1 no file can be mapped and shared (9P, some CIFS) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static int number(const char *name) {
  const char *text = getenv(name);
  return text ? atoi(text) : 0;
}

static int is_folder(int fd) {
  struct stat found;
  return !fstat(fd, &found) && S_ISDIR(found.st_mode);
}

int fsync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  int fault = number(is_folder(fd) ? "FS_FOLDER_FSYNC" : "FS_FILE_FSYNC");
  if (fault) {
    errno = fault;
    return -1;
  }
  return real(fd);
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
  int fault = number("FS_FOLDER_OPEN");
  if (fault && (flags & O_DIRECTORY) && !(flags & O_NONBLOCK)) { /* a listing's has O_NONBLOCK */
    errno = fault;
    return -1;
  }
  return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return opened("open64", path, flags, mode);
}

int statvfs64(const char *path, struct statvfs64 *room) {
  int (*real)(const char *, struct statvfs64 *) = dlsym(RTLD_NEXT, "statvfs64");
  const char *fault = getenv("FS_STATVFS");
  if (!fault)
    return real(path, room);
  if (!strcmp(fault, "fail")) {
    errno = ENOSYS;
    return -1;
  }
  if (real(path, room))
    return -1;
  if (!strcmp(fault, "zero")) {
    room->f_blocks = room->f_bfree = room->f_bavail = 0;
    room->f_files = room->f_ffree = room->f_favail = 0;
  } else {
    room->f_frsize = 1;
    room->f_blocks = 1ull << 60;
    room->f_bfree = room->f_bavail = strtoull(fault, NULL, 10);
  }
  return 0;
}

int statvfs(const char *path, struct statvfs *room) {
  return statvfs64(path, (struct statvfs64 *)room);
}

void *mmap64(void *at, size_t size, int access, int flags, int fd, off64_t offset) {
  void *(*real)(void *, size_t, int, int, int, off64_t) = dlsym(RTLD_NEXT, "mmap64");
  if (number("FS_NO_SHARED_MMAP") && fd >= 0 && (flags & MAP_SHARED)) {
    errno = ENODEV;
    return MAP_FAILED;
  }
  return real(at, size, access, flags, fd, offset);
}

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) {
  return mmap64(at, size, access, flags, fd, offset);
}
