/* files JOBS THREADS FOLDER: the file that comes of each small result, and nothing else: written,
 * synced, and renamed out of the staging folder. (Its ZIP goes into the journal.) */
#include "bulk.h"
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static atomic_int next;
static int count;
static const char *folder;

static void put(const char *from, const char *to, size_t size) {
    static const char data[1024];
    int fd = open(from, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) die(from);
    write_all(fd, data, size);
    if (fsync(fd) || close(fd) || rename(from, to)) die(to);
}

static void *work(void *argument) {
    (void)argument;
    char out[1024], csv[1024];
    for (int n; (n = atomic_fetch_add(&next, 1)) < count;) {
        snprintf(out, sizeof out, "%s/staging/%d.out", folder, n);
        snprintf(csv, sizeof csv, "%s/%d.csv", folder, n);
        put(out, csv, 1000);
    }
    return NULL;
}

int main(int words, char **word) {
    if (words < 4) return 2;
    count = atoi(word[1]);
    int threads = atoi(word[2]);
    folder = word[3];
    char staging[1024];
    snprintf(staging, sizeof staging, "%s/staging", folder);
    if (mkdir(staging, 0755)) die(staging);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    pthread_t thread[64];
    for (int n = 1; n < threads; n++)
        if (pthread_create(&thread[n], NULL, work, NULL)) die("thread");
    work(NULL);
    for (int n = 1; n < threads; n++) pthread_join(thread[n], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double took = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("{\"jobs\": %d, \"jobs_per_s\": %.1f}\n", count, count / took);
    return 0;
}
