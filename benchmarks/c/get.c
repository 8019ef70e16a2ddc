/* get plain|sync CA_FILE FOLDER URL…: fetch each URL into a file, all at once, a thread each. */
#include "http.h"
#include <pthread.h>

static SSL_CTX *context;
static const char *folder;

typedef struct {
    const char *url;
    int number;
} Task;

static void *work(void *argument) {
    Task *task = argument;
    char target[1024];
    snprintf(target, sizeof target, "%s/%d.zip", folder, task->number);
    fetch(context, task->url, target);
    return NULL;
}

int main(int count, char **words) {
    if (count < 5) return 2;
    durable(words[1]);
    context = trusting(words[2]);
    folder = words[3];
    int tasks = count - 4;
    Task *task = calloc((size_t)tasks, sizeof *task);
    pthread_t *thread = calloc((size_t)tasks, sizeof *thread);
    for (int n = 0; n < tasks; n++) {
        task[n] = (Task){words[4 + n], n};
        if (tasks == 1) work(&task[n]);
        else if (pthread_create(&thread[n], NULL, work, &task[n])) die("thread");
    }
    for (int n = 0; n < tasks && tasks > 1; n++) pthread_join(thread[n], NULL);
    return 0;
}
