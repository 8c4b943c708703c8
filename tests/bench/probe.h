/*
 * probe.h: what another process has used: CPU time and memory.
 *
 * CPU is the first field of /proc/PID/task/TID/schedstat, nanoseconds on a CPU,
 * over all threads (io_uring workers are among them). The kernel brings it up
 * to date when a thread stops running, so read it while the process is idle.
 */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#include <stdint.h>
#include <sys/types.h>

/* Nanoseconds used so far; 0 if there is no such process. */
uint64_t probe_cpu_ns(pid_t pid);

/* The same once the process has gone idle (no change for 3 ms); after 300 ms
 * the last value as it is. */
uint64_t probe_idle_cpu_ns(pid_t pid);

/* VmRSS in KiB, user space only; 0 if there is no such process. */
unsigned long probe_rss_kb(pid_t pid);

#endif
