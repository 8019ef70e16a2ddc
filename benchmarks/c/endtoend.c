/* endtoend THREADS crc|sha256[+sync] CA_FILE FOLDER URL…: fetch and unpack, THREADS at a time. */
#include "http.h"
#include "zip.h"
#include <pthread.h>
#include <stdatomic.h>

static atomic_int next;
static int count, digest;
static char **urls;
static const char *folder;
static SSL_CTX *context;

static void *work(void *argument) {
    (void)argument;
    for (int n; (n = atomic_fetch_add(&next, 1)) < count;) {
        char packed[1024], target[1024];
        snprintf(packed, sizeof packed, "%s/%d.zip", folder, n);
        snprintf(target, sizeof target, "%s/%d.csv", folder, n);
        fetch(context, urls[n], packed);
        unzip(packed, target, digest);
        unlink(packed);
    }
    return NULL;
}

int main(int words, char **word) {
    if (words < 6) return 2;
    int threads = atoi(word[1]);
    digest = strstr(word[2], "sha256") != NULL;
    durable(word[2]);
    context = trusting(word[3]);
    folder = word[4];
    urls = word + 5;
    count = words - 5;
    pthread_t thread[64];
    for (int n = 1; n < threads; n++)
        if (pthread_create(&thread[n], NULL, work, NULL)) die("thread");
    work(NULL);
    for (int n = 1; n < threads; n++) pthread_join(thread[n], NULL);
    return 0;
}
