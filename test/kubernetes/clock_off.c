// LD_PRELOAD for a program whose clock is CLOCK_OFF seconds ahead (behind, when negative), as the
// clock of its node is. Only the time of day; timers go on as they do on such a node: who waits
// until a time of day has computed it by that clock, and the kernel, whose clock is right, is told
// the right one.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef long (*Syscall)(long, long, long, long, long, long, long);
typedef int (*CondWait)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);
typedef int (*SemWait)(sem_t*, const struct timespec*);

static long off(void) {
  const char* text = getenv("CLOCK_OFF");
  return text == NULL ? 0 : strtol(text, NULL, 10);
}

static long kernel(long number, long a, long b, long c, long d, long e, long f) {
  static Syscall real;
  if (real == NULL) real = (Syscall)dlsym(RTLD_NEXT, "syscall");
  return real(number, a, b, c, d, e, f);
}

// A time of day is a large number, one since the start of the machine a small one.
static const struct timespec* right(const struct timespec* when, struct timespec* to) {
  if (when == NULL || when->tv_sec < 1000000000) return when;
  *to = *when;
  to->tv_sec -= off();
  return to;
}

int clock_gettime(clockid_t clock, struct timespec* to) {
  const int result = (int)kernel(SYS_clock_gettime, (long)clock, (long)to, 0, 0, 0, 0);
  const int is_time_of_day = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  if (result == 0 && is_time_of_day) to->tv_sec += off();
  return result;
}

time_t time(time_t* to) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return (time_t)-1;
  if (to != NULL) *to = now.tv_sec;
  return now.tv_sec;
}

int gettimeofday(struct timeval* restrict to, void* restrict zone) {
  (void)zone;
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
  to->tv_sec = now.tv_sec;
  to->tv_usec = now.tv_nsec / 1000;
  return 0;
}

int pthread_cond_timedwait(pthread_cond_t* restrict cond, pthread_mutex_t* restrict mutex,
                           const struct timespec* restrict until) {
  static CondWait real;
  if (real == NULL) real = (CondWait)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  struct timespec adjusted;
  return real(cond, mutex, right(until, &adjusted));
}

int sem_timedwait(sem_t* restrict semaphore, const struct timespec* restrict until) {
  static SemWait real;
  if (real == NULL) real = (SemWait)dlsym(RTLD_NEXT, "sem_timedwait");
  struct timespec adjusted;
  return real(semaphore, right(until, &adjusted));
}

long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long words[6];
  for (int i = 0; i < 6; ++i) words[i] = va_arg(list, long);
  va_end(list);
  struct timespec adjusted;
  if (number == SYS_futex && (words[1] & FUTEX_CLOCK_REALTIME) != 0) {
    words[3] = (long)right((const struct timespec*)words[3], &adjusted);
  }
  return kernel(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
