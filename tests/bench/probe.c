#include "probe.h"
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <time.h>

enum { IDLE_MS = 3, IDLE_TRIES = 100 };

static uint64_t thread_cpu_ns(pid_t pid, const char *tid)
{
    char path[300];
    unsigned long long ns = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, tid);
    f = fopen(path, "r");
    if (!f) /* the thread has just ended */
        return 0;
    if (fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}

uint64_t probe_cpu_ns(pid_t pid)
{
    char path[64];
    uint64_t sum = 0;
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (!dir)
        return 0;
    while ((entry = readdir(dir)))
        if (isdigit((unsigned char)entry->d_name[0]))
            sum += thread_cpu_ns(pid, entry->d_name);
    closedir(dir);
    return sum;
}

uint64_t probe_idle_cpu_ns(pid_t pid)
{
    const struct timespec wait = {.tv_nsec = IDLE_MS * 1000000L};
    uint64_t before, now = probe_cpu_ns(pid);

    for (int i = 0; i < IDLE_TRIES; i++) {
        before = now;
        nanosleep(&wait, NULL);
        now = probe_cpu_ns(pid);
        if (now == before)
            break;
    }
    return now;
}

unsigned long probe_rss_kb(pid_t pid)
{
    char path[64], line[256];
    unsigned long kb = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %lu", &kb) == 1)
            break;
    fclose(f);
    return kb;
}
