/* inflate THREADS crc|sha256[+begin|+sync] FOLDER ZIP…: unpack each ZIP into a file. */
#include "zip.h"
#include <pthread.h>
#include <stdatomic.h>

static atomic_int next;
static int count, digest;
static char **archives;
static const char *folder;

static void *work(void *argument) {
    (void)argument;
    for (int n; (n = atomic_fetch_add(&next, 1)) < count;) {
        char target[1024];
        snprintf(target, sizeof target, "%s/%d.csv", folder, n);
        unzip(archives[n], target, digest);
    }
    return NULL;
}

int main(int words, char **word) {
    if (words < 5) return 2;
    int threads = atoi(word[1]);
    digest = strstr(word[2], "sha256") != NULL;
    durable(word[2]);
    folder = word[3];
    archives = word + 4;
    count = words - 4;
    pthread_t thread[64];
    for (int n = 1; n < threads; n++)
        if (pthread_create(&thread[n], NULL, work, NULL)) die("thread");
    work(NULL);
    for (int n = 1; n < threads; n++) pthread_join(thread[n], NULL);
    return 0;
}
