/* Loaded before everything else (LD_PRELOAD), this counts the calls by which a process changes what lies under one folder, and kills the process at one of them.

   arm(folder, at, mode) begins to count; at = 0 only counts; counted() tells how many calls there were.
   mode 0: the process dies before the call; 1: after half of a write, 2: after the call.                                                                  */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long kill_at, kill_mode;
static atomic_long calls;

void arm(const char *where, long at, long mode) {
    strncpy(folder, where, sizeof folder - 1);
    kill_at = at;
    kill_mode = mode;
    atomic_store(&calls, 0);
}

long counted(void) { return atomic_load(&calls); }

static void die(void) { kill(getpid(), SIGKILL); pause(); }

static int inside(const char *path) { return folder[0] && path && strstr(path, folder) == path; }

static int inside_fd(int fd) {
    char link[64], place[PATH_MAX];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, place, sizeof place - 1);
    if (length < 0) return 0;
    place[length] = 0;
    return inside(place);
}

static int inside_at(int dir, const char *path) {
    if (!path) return 0;
    if (path[0] == '/') return inside(path);
    return dir != AT_FDCWD && inside_fd(dir); /* what is named from the current folder is not asked for here */
}

/* Whether this is the call at which the process is to die; it dies here in mode 0. */
static int reached(int counts) {
    if (!counts) return 0;
    if (atomic_fetch_add(&calls, 1) + 1 != kill_at) return 0;
    if (kill_mode == 0) die();
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define CALL(counts, expression)                                                                                                                          \
    int last = reached(counts);                                                                                                                           \
    __typeof__(expression) result = expression;                                                                                                           \
    if (last) die();                                                                                                                                      \
    return result

#define WRITE(counts, half, whole)                                                                                                                        \
    int last = reached(counts);                                                                                                                           \
    if (last && kill_mode == 1) { half; die(); }                                                                                                          \
    ssize_t result = whole;                                                                                                                               \
    if (last) die();                                                                                                                                      \
    return result

ssize_t write(int fd, const void *data, size_t n) { REAL(write); WRITE(inside_fd(fd), real(fd, data, n / 2), real(fd, data, n)); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { REAL(pwrite); WRITE(inside_fd(fd), real(fd, data, n / 2, at), real(fd, data, n, at)); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { REAL(pwrite64); WRITE(inside_fd(fd), real(fd, data, n / 2, at), real(fd, data, n, at)); }
ssize_t writev(int fd, const struct iovec *v, int n) { REAL(writev); WRITE(inside_fd(fd), real(fd, v, 1), real(fd, v, n)); }
int fsync(int fd) { REAL(fsync); CALL(inside_fd(fd), real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); CALL(inside_fd(fd), real(fd)); }
int ftruncate(int fd, off_t n) { REAL(ftruncate); CALL(inside_fd(fd), real(fd, n)); }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); CALL(inside_fd(fd), real(fd, n)); }
int truncate(const char *path, off_t n) { REAL(truncate); CALL(inside(path), real(path, n)); }
int truncate64(const char *path, off64_t n) { REAL(truncate64); CALL(inside(path), real(path, n)); }
int rename(const char *a, const char *b) { REAL(rename); CALL(inside(b) || inside(a), real(a, b)); }
int renameat(int d, const char *a, int e, const char *b) { REAL(renameat); CALL(inside_at(d, a) || inside_at(e, b), real(d, a, e, b)); }
int renameat2(int d, const char *a, int e, const char *b, unsigned f) { REAL(renameat2); CALL(inside_at(d, a) || inside_at(e, b), real(d, a, e, b, f)); }
int unlink(const char *path) { REAL(unlink); CALL(inside(path), real(path)); }
int unlinkat(int d, const char *path, int f) { REAL(unlinkat); CALL(inside_at(d, path), real(d, path, f)); }
int rmdir(const char *path) { REAL(rmdir); CALL(inside(path), real(path)); }
int mkdir(const char *path, mode_t m) { REAL(mkdir); CALL(inside(path), real(path, m)); }
int mkdirat(int d, const char *path, mode_t m) { REAL(mkdirat); CALL(inside_at(d, path), real(d, path, m)); }
int link(const char *a, const char *b) { REAL(link); CALL(inside(b), real(a, b)); }
int symlink(const char *a, const char *b) { REAL(symlink); CALL(inside(b), real(a, b)); }
ssize_t sendfile64(int o, int i, off64_t *at, size_t n) { REAL(sendfile64); WRITE(inside_fd(o), real(o, i, at, n / 2), real(o, i, at, n)); }
ssize_t copy_file_range(int i, off64_t *a, int o, off64_t *b, size_t n, unsigned f) { REAL(copy_file_range); WRITE(inside_fd(o), real(i, a, o, b, n / 2, f), real(i, a, o, b, n, f)); }

/* Only calls that create or empty a file change anything. */
#define OPEN(counts, expression)                                                                                                                          \
    mode_t mode = 0;                                                                                                                                      \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }                                 \
    CALL((flags & (O_CREAT | O_TRUNC)) && (counts), expression)

int open(const char *path, int flags, ...) { REAL(open); OPEN(inside(path), real(path, flags, mode)); }
int open64(const char *path, int flags, ...) { REAL(open64); OPEN(inside(path), real(path, flags, mode)); }
int openat(int d, const char *path, int flags, ...) { REAL(openat); OPEN(inside_at(d, path), real(d, path, flags, mode)); }
int openat64(int d, const char *path, int flags, ...) { REAL(openat64); OPEN(inside_at(d, path), real(d, path, flags, mode)); }
