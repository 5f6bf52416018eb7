/* A library that is preloaded into slimstage's own processes: chosen system calls below one directory fail on demand, and
 * the wall clock is another one. Steps are not reached: the process that starts them is given no LD_PRELOAD.
 *
 * FAULT_BELOW    directory; only calls on paths or descriptors below it count
 * FAULT_CALLS    ,name,name, which calls count
 * FAULT_ERRNO    what a failing call returns in errno
 * FAULT_AT       the first call that fails, from 1; 0: none
 * FAULT_FOR      how many fail from there on
 * FAULT_STATE    a file of 8 + 8 + 4096 bytes: the count of calls, the wall clock's shift in seconds, what failed first
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct state { long count; long shift_s; char failed[4096]; };

static struct state *state;
static const char *below = "", *calls = "";
static size_t below_length;
static long at, many;
static int number;

static const char *setting(const char *name) { const char *value = getenv(name); return value ? value : ""; }

__attribute__((constructor)) static void begin(void) {
    int fd = open(setting("FAULT_STATE"), O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    state = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (state == MAP_FAILED) { state = NULL; return; }
    below = setting("FAULT_BELOW"); below_length = strlen(below);
    calls = setting("FAULT_CALLS");
    number = atoi(setting("FAULT_ERRNO")); at = atol(setting("FAULT_AT")); many = atol(setting("FAULT_FOR"));
}

static int is_below(const char *path) {
    return !strncmp(path, below, below_length) && (path[below_length] == '/' || !path[below_length]);
}

static int described(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

/* True when this call is to fail; errno is set then. path NULL: the call is on the descriptor itself. */
static int fails(const char *call, int fd, const char *path) {
    char mark[32], where[2 * PATH_MAX];
    int saved = errno;
    if (!state || !*below) return 0;
    snprintf(mark, sizeof mark, ",%s,", call);
    if (!strstr(calls, mark)) return 0;
    if (path && *path == '/') snprintf(where, sizeof where, "%s", path);
    else {
        if (fd == AT_FDCWD) { if (!getcwd(where, PATH_MAX)) { errno = saved; return 0; } }
        else if (!described(fd, where)) { errno = saved; return 0; }
        if (path) { size_t length = strlen(where); snprintf(where + length, sizeof where - length, "/%s", path); }
    }
    errno = saved;
    if (!is_below(where)) return 0;
    long mine = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    if (!at || mine < at || mine >= at + many) return 0;
    if (mine == at) snprintf(state->failed, sizeof state->failed, "%s %.4000s", call, where);
    errno = number;
    return 1;
}

#define NEXT(name) static __typeof__(&name) next; if (!next) next = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)
#define ON_FD(type, name, call, parameters, arguments) \
    type name parameters { NEXT(name); return fails(call, fd, NULL) ? -1 : next arguments; }
#define ON_PATH(name, call, dir, path, parameters, arguments) \
    int name parameters { NEXT(name); return fails(call, dir, path) ? -1 : next arguments; }

ON_FD(ssize_t, write, "write", (int fd, const void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, writev, "write", (int fd, const struct iovec *parts, int count), (fd, parts, count))
ON_FD(ssize_t, pwrite, "write", (int fd, const void *data, size_t size, off_t offset), (fd, data, size, offset))
ON_FD(ssize_t, pwrite64, "write", (int fd, const void *data, size_t size, off64_t offset), (fd, data, size, offset))
ON_FD(ssize_t, read, "read", (int fd, void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, readv, "read", (int fd, const struct iovec *parts, int count), (fd, parts, count))
ON_FD(ssize_t, pread, "read", (int fd, void *data, size_t size, off_t offset), (fd, data, size, offset))
ON_FD(ssize_t, pread64, "read", (int fd, void *data, size_t size, off64_t offset), (fd, data, size, offset))
ON_FD(int, fsync, "fsync", (int fd), (fd))
ON_FD(int, fdatasync, "fsync", (int fd), (fd))
ON_FD(int, ftruncate, "ftruncate", (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, "ftruncate", (int fd, off64_t size), (fd, size))
ON_FD(int, fchmod, "chmod", (int fd, mode_t mode), (fd, mode))
ON_FD(int, fchown, "chown", (int fd, uid_t user, gid_t group), (fd, user, group))
ON_FD(int, futimens, "utime", (int fd, const struct timespec times[2]), (fd, times))
ON_FD(int, fsetxattr, "setxattr", (int fd, const char *name, const void *value, size_t size, int flags), (fd, name, value, size, flags))
ON_PATH(rename, "rename", AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_PATH(renameat, "rename", dir2, to, (int dir, const char *from, int dir2, const char *to), (dir, from, dir2, to))
ON_PATH(link, "link", AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_PATH(linkat, "link", dir2, to, (int dir, const char *from, int dir2, const char *to, int flags), (dir, from, dir2, to, flags))
ON_PATH(symlink, "symlink", AT_FDCWD, to, (const char *target, const char *to), (target, to))
ON_PATH(symlinkat, "symlink", dir, to, (const char *target, int dir, const char *to), (target, dir, to))
ON_PATH(mkdir, "mkdir", AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_PATH(mkdirat, "mkdir", dir, path, (int dir, const char *path, mode_t mode), (dir, path, mode))
ON_PATH(mknodat, "mknod", dir, path, (int dir, const char *path, mode_t mode, dev_t device), (dir, path, mode, device))
ON_PATH(unlink, "unlink", AT_FDCWD, path, (const char *path), (path))
ON_PATH(unlinkat, "unlink", dir, path, (int dir, const char *path, int flags), (dir, path, flags))
ON_PATH(rmdir, "unlink", AT_FDCWD, path, (const char *path), (path))
ON_PATH(utimensat, "utime", dir, path, (int dir, const char *path, const struct timespec times[2], int flags), (dir, path, times, flags))

ssize_t copy_file_range(int in, off64_t *from, int fd, off64_t *to, size_t size, unsigned flags) {
    NEXT(copy_file_range);
    return fails("copy_file_range", fd, NULL) ? -1 : next(in, from, fd, to, size, flags);
}

#define OPENS(name, dir, parameters, arguments) \
    int name parameters { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
        NEXT(name); \
        return fails(flags & O_CREAT ? "create" : "open", dir, path) ? -1 : next arguments; \
    }
OPENS(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, dir, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
OPENS(openat64, dir, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))

int clock_gettime(clockid_t clock, struct timespec *now) {
    NEXT(clock_gettime);
    int result = next(clock, now);
    if (!result && state && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += state->shift_s;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    NEXT(gettimeofday);
    int result = next(now, zone);
    if (!result && state) now->tv_sec += state->shift_s;
    return result;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
