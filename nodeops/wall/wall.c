/* A node's wall clock, which stands still while the node is swapped out. Preloaded into its programs, this shows it instead of the host's.
 *
 * The file /swapbed/wall holds how many nanoseconds the node's clock is ahead of the host's (as a rule it is behind: a negative number). It
 * changes only while nobody in the node runs, but between any two instructions of a program: so whoever has used it looks whether it still
 * is what it was. Without the file the two clocks are one.
 *
 * No library is needed, so that it loads beside any C library; what reads a clock is async-signal-safe. No memory is allocated.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static const int64_t SECOND = 1000000000, EARLIEST_S = 1000000000, LATEST_S = 100000000000;
static const int64_t none;
static const volatile int64_t *mapped;
static int (*read_of_host)(clockid_t, struct timespec *);
static ssize_t (*receive)(int, struct msghdr *, int);

/* Where there is no such function without a library of its own (glibc before 2.34), the C library itself can load that. */
extern __typeof__(dlsym) dlsym __attribute__((weak));
extern void *__libc_dlopen_mode(const char *, int) __attribute__((weak));
extern void *__libc_dlsym(void *, const char *) __attribute__((weak));

static void *next(const char *name) {
    __typeof__(&dlsym) look = dlsym;
    if (!look && __libc_dlopen_mode && __libc_dlsym) {
        void *library = __libc_dlopen_mode("libdl.so.2", RTLD_NOW | (int)0x80000000);
        if (library) look = (__typeof__(look))__libc_dlsym(library, "dlsym");
    }
    return look ? look(RTLD_NEXT, name) : NULL;
}

/* What this library stands before; `otherwise` where the C library has no such function. */
#define REAL(name, otherwise, ...)                                                                     \
    ({                                                                                                 \
        static __typeof__(&name) found;                                                                \
        if (!found) found = (__typeof__(&name))next(#name);                                            \
        found ? found(__VA_ARGS__) : otherwise;                                                        \
    })
#define FAILURE (errno = ENOSYS, -1)

static const volatile int64_t *map(void) {
    int before = errno, fd = (int)syscall(SYS_openat, AT_FDCWD, "/swapbed/wall", O_RDONLY | O_CLOEXEC);
    long size = fd < 0 ? 0 : syscall(SYS_lseek, fd, 0L, SEEK_END);
    long at = size < (long)sizeof(int64_t) ? -1 : syscall(SYS_mmap, NULL, size, PROT_READ, MAP_SHARED, fd, 0L);
    if (fd >= 0) syscall(SYS_close, fd);
    errno = before;
    __atomic_store_n(&mapped, at == -1 ? &none : (const volatile int64_t *)at, __ATOMIC_RELEASE);
    return mapped;
}

static int64_t shift(void) {
    const volatile int64_t *at = __atomic_load_n(&mapped, __ATOMIC_ACQUIRE);
    return at ? *at : *map();
}

__attribute__((constructor)) static void begin(void) {
    read_of_host = (__typeof__(read_of_host))next("clock_gettime");
    receive = (__typeof__(receive))next("recvmsg");
    shift();
}

static int is_wall(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI;
}

static void move(struct timespec *time, int64_t by) {
    int64_t nanoseconds = time->tv_nsec + by % SECOND;
    int carry = nanoseconds >= SECOND ? 1 : nanoseconds < 0 ? -1 : 0;
    time->tv_sec += by / SECOND + carry;
    time->tv_nsec = nanoseconds - carry * SECOND;
}

/* Before `begin` the kernel itself is asked. */
static int read_clock(clockid_t clock, struct timespec *now) {
    int64_t was;
    int result;
    if (!is_wall(clock)) return read_of_host ? read_of_host(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
    do {
        was = shift();
        result = read_of_host ? read_of_host(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
    } while (was != shift());
    if (!result) move(now, was);
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *now) { return read_clock(clock, now); }

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    read_clock(CLOCK_REALTIME, &exact);
    if (zone) *(struct timezone *)zone = (struct timezone){0, 0};
    if (now) *now = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *now) {
    struct timespec exact;
    read_clock(CLOCK_REALTIME_COARSE, &exact);
    return now ? *now = exact.tv_sec : exact.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    if (base != TIME_UTC) return REAL(timespec_get, 0, now, base);
    return read_clock(CLOCK_REALTIME, now) ? 0 : base;
}

/* When it came stands beside what was received, if the program wanted that (socket(7), SO_TIMESTAMP): ping takes its own time from it. The
 * clock of a network card, the last of SCM_TIMESTAMPING's three, is not the wall's. */
static void date(struct msghdr *received) {
    int64_t by = shift();
    for (struct cmsghdr *at = CMSG_FIRSTHDR(received); by && at; at = CMSG_NXTHDR(received, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_len < CMSG_LEN(sizeof(struct timespec))) continue;
        if (at->cmsg_type == SCM_TIMESTAMP) {
            struct timeval *when = (struct timeval *)CMSG_DATA(at);
            struct timespec exact = {when->tv_sec, when->tv_usec * 1000};
            move(&exact, by);
            *when = (struct timeval){exact.tv_sec, exact.tv_nsec / 1000};
        } else if (at->cmsg_type == SCM_TIMESTAMPNS || at->cmsg_type == SCM_TIMESTAMPING) {
            struct timespec *when = (struct timespec *)CMSG_DATA(at);
            if (when->tv_sec) move(when, by);
        }
    }
}

ssize_t recvmsg(int from, struct msghdr *into, int flags) {
    ssize_t length = receive ? receive(from, into, flags) : syscall(SYS_recvmsg, from, into, flags);
    if (length >= 0) date(into);
    return length;
}

int recvmmsg(int from, struct mmsghdr *into, unsigned limit, int flags, struct timespec *within) {
    int count = REAL(recvmmsg, FAILURE, from, into, limit, flags, within);
    for (int i = 0; i < count; i++) date(&into[i].msg_hdr);
    return count;
}

/* The host's time for an instant of the node's. What can be no such instant is left alone: other clocks begin at about 0, and somebody
 * who waits for ever may wait until the end of all time. */
static const struct timespec *of_host(const struct timespec *until, struct timespec *moved, int64_t by) {
    if (!until || until->tv_nsec < 0 || until->tv_nsec >= SECOND || until->tv_sec < EARLIEST_S || until->tv_sec > LATEST_S) return until;
    *moved = *until;
    move(moved, -by);
    return moved;
}

/* `call` waits until `at`. Where it is over because the host's clock has gone on without the node, it is begun again. */
#define WAIT(until, over, call)                                                                        \
    ({                                                                                                 \
        struct timespec moved;                                                                         \
        int64_t was;                                                                                   \
        long result;                                                                                   \
        do {                                                                                           \
            was = shift();                                                                             \
            const struct timespec *at = of_host(until, &moved, was);                                   \
            result = call;                                                                             \
        } while ((over) && was != shift());                                                            \
        result;                                                                                        \
    })
/* A condition may have come true meanwhile: whoever waits for it is told to look, as may happen at any time. */
#define AWAIT(until, timeout, call)                                                                    \
    ({                                                                                                 \
        int64_t was = shift();                                                                         \
        struct timespec moved;                                                                         \
        const struct timespec *at = of_host(until, &moved, was);                                       \
        int result = call;                                                                             \
        result == timeout && was != shift() ? 0 : result;                                              \
    })
#define TIMED_OUT result == ETIMEDOUT
#define FAILED_IN_TIME result < 0 && errno == ETIMEDOUT
typedef const struct timespec *restrict instant;

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, instant until) {
    return AWAIT(until, ETIMEDOUT, REAL(pthread_cond_timedwait, ENOSYS, cond, mutex, at));
}
int pthread_cond_clockwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, clockid_t clock, instant until) {
    return AWAIT(until, ETIMEDOUT, REAL(pthread_cond_clockwait, ENOSYS, cond, mutex, clock, is_wall(clock) ? at : until));
}
int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, instant until) {
    return AWAIT(until, thrd_timedout, REAL(cnd_timedwait, thrd_error, cond, mutex, at));
}
int mtx_timedlock(mtx_t *restrict mutex, instant until) {
    return (int)WAIT(until, result == thrd_timedout, REAL(mtx_timedlock, thrd_error, mutex, at));
}

/* Waits that answer with an error number: without a clock in the call, and with one. */
#define TIMED(name, type) \
    int name(type *restrict it, instant until) { return (int)WAIT(until, TIMED_OUT, REAL(name, ENOSYS, it, at)); }
#define CLOCKED(name, type)                                                                            \
    int name(type *restrict it, clockid_t clock, instant until) {                                      \
        return (int)WAIT(until, TIMED_OUT && is_wall(clock), REAL(name, ENOSYS, it, clock, is_wall(clock) ? at : until)); \
    }
TIMED(pthread_mutex_timedlock, pthread_mutex_t)
TIMED(pthread_rwlock_timedrdlock, pthread_rwlock_t)
TIMED(pthread_rwlock_timedwrlock, pthread_rwlock_t)
CLOCKED(pthread_mutex_clocklock, pthread_mutex_t)
CLOCKED(pthread_rwlock_clockrdlock, pthread_rwlock_t)
CLOCKED(pthread_rwlock_clockwrlock, pthread_rwlock_t)

int pthread_timedjoin_np(pthread_t thread, void **said, const struct timespec *until) {
    return (int)WAIT(until, TIMED_OUT, REAL(pthread_timedjoin_np, ENOSYS, thread, said, at));
}
int pthread_clockjoin_np(pthread_t thread, void **said, clockid_t clock, const struct timespec *until) {
    return (int)WAIT(until, TIMED_OUT && is_wall(clock),
                     REAL(pthread_clockjoin_np, ENOSYS, thread, said, clock, is_wall(clock) ? at : until));
}
int sem_timedwait(sem_t *restrict semaphore, instant until) {
    return (int)WAIT(until, FAILED_IN_TIME, REAL(sem_timedwait, FAILURE, semaphore, at));
}
int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, instant until) {
    return (int)WAIT(until, FAILED_IN_TIME && is_wall(clock), REAL(sem_clockwait, FAILURE, semaphore, clock, is_wall(clock) ? at : until));
}
int mq_timedsend(mqd_t queue, const char *message, size_t length, unsigned priority, const struct timespec *until) {
    return (int)WAIT(until, FAILED_IN_TIME, REAL(mq_timedsend, FAILURE, queue, message, length, priority, at));
}
ssize_t mq_timedreceive(mqd_t queue, char *restrict into, size_t length, unsigned *restrict priority, instant until) {
    return WAIT(until, FAILED_IN_TIME, REAL(mq_timedreceive, FAILURE, queue, into, length, priority, at));
}
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    int dated = flags & TIMER_ABSTIME && is_wall(clock);
    return (int)WAIT(until, dated && !result, REAL(clock_nanosleep, ENOSYS, clock, flags, dated ? at : until, left));
}

/* A timer is set again where the shift changed in between. What is set goes on by itself: CRIU keeps the time that is left of it. */
#define SET(name, timer, flags, dated, given, old)                                                     \
    if (!given || !((flags) & (dated))) return REAL(name, FAILURE, timer, flags, given, old);          \
    struct itimerspec asked = *given;                                                                  \
    return (int)WAIT(&given->it_value, 1, (asked.it_value = *at, REAL(name, FAILURE, timer, flags, &asked, old)))
int timer_settime(timer_t timer, int flags, const struct itimerspec *restrict given, struct itimerspec *restrict old) {
    SET(timer_settime, timer, flags, TIMER_ABSTIME, given, old);
}
int timerfd_settime(int timer, int flags, const struct itimerspec *given, struct itimerspec *old) {
    SET(timerfd_settime, timer, flags, TFD_TIMER_ABSTIME, given, old);
}
