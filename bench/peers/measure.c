/*
 * Runs a program and adds what it used as the last line of its output:
 *
 *   @ user-and-system-CPU-seconds largest-resident-KiB
 *
 *   cc -O2 -o measure measure.c && ./measure program arguments…
 *
 * It raises the limit of descriptors first, as far as it may.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct rlimit limit;
  struct rusage used;
  int status = 0;
  if (argc < 2) return 2;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  pid_t pid = fork();
  if (pid < 0) return 2;
  if (pid == 0) {
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    _exit(127);
  }
  if (wait4(pid, &status, 0, &used) < 0) return 2;
  printf("@ %.6f %ld\n",
         (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
             (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
         used.ru_maxrss);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
