/*
 * libevent's marks for the benchmarks of tasks:
 *
 *   cc -O2 -o tasks_libevent tasks_libevent.c -levent
 *   ./tasks_libevent timers|cancel [precise]
 *
 * Prints one line of JSON. timers: 100,000 random ones within a second, how
 * late they are, ms. cancel: schedule and cancel at once, ns. "precise" sets
 * EVENT_BASE_FLAG_PRECISE_TIMER.
 */
#define _GNU_SOURCE
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMERS 100000
#define CANCELS 1000000

static double due[TIMERS], late_sum, earliest = 1e9;

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void on_time(evutil_socket_t fd, short what, void *which) {
  double late = now_ms() - *(double *)which;
  (void)fd;
  (void)what;
  late_sum += late;
  if (late < earliest) earliest = late;
}

int main(int argc, char **argv) {
  struct event_config *config = event_config_new();
  if (argc < 2) return 2;
  if (argc > 2) event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
  struct event_base *base = event_base_new_with_config(config);
  if (strcmp(argv[1], "timers") == 0) {
    double start = cpu();
    for (int i = 0; i < TIMERS; i++) {
      double ms = drand48() * 1000;
      struct timeval delay = {0, (suseconds_t)(ms * 1000)};
      due[i] = now_ms() + ms;
      event_add(evtimer_new(base, on_time, &due[i]), &delay);
    }
    event_base_dispatch(base);
    printf("{\"cpu\": %.4f, \"late\": %.4f, \"earliest\": %.4f}\n",
           cpu() - start, late_sum / TIMERS, earliest);
  } else if (strcmp(argv[1], "cancel") == 0) {
    struct timeval delay = {10, 0};
    struct event *timer = evtimer_new(base, on_time, NULL);
    double start = now_ms();
    for (int i = 0; i < CANCELS; i++) {
      event_add(timer, &delay);
      event_del(timer);
    }
    printf("{\"ns\": %.1f}\n", (now_ms() - start) * 1e6 / CANCELS);
  } else {
    fprintf(stderr, "not in libevent\n");
    return 2;
  }
  return 0;
}
