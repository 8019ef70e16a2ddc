/* A blocking GET, plain or over OpenSSL with read-ahead. */
#ifndef HTTP_H
#define HTTP_H
#include "bulk.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

#define PIECE (1 << 20)

typedef struct {
    char host[256], port[8], path[512];
    int tls;
} Url;

static inline Url parse_url(const char *text) {
    Url url = {0};
    url.tls = strncmp(text, "https://", 8) == 0;
    if (sscanf(text + (url.tls ? 8 : 7), "%255[^:]:%7[0-9]%511s", url.host, url.port, url.path) != 3)
        die("url");
    return url;
}

static inline SSL_CTX *trusting(const char *ca_file) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_load_verify_locations(context, ca_file, NULL)) die("ca file");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 1 << 18);
    return context;
}

static inline int dial(const Url *url) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found;
    if (getaddrinfo(url->host, url->port, &hints, &found)) die("resolve");
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen)) die("connect");
    freeaddrinfo(found);
    return fd;
}

static inline ssize_t take(SSL *ssl, int fd, char *buffer, size_t size) {
    if (!ssl) return recv(fd, buffer, size, 0);
    /* One record is 16 KiB at most: several are gathered for one write. */
    size_t got = 0;
    while (got < size) {
        int n = SSL_read(ssl, buffer + got, (int)(size - got));
        if (n <= 0) break;
        got += (size_t)n;
        if (!SSL_has_pending(ssl) && got >= size / 2) break;
    }
    return (ssize_t)got;
}

/* Fetch a URL into a file; any other answer than 200 with a length ends the program. */
static inline void fetch(SSL_CTX *context, const char *text, const char *target) {
    Url url = parse_url(text);
    int fd = dial(&url);
    SSL *ssl = NULL;
    if (url.tls) {
        ssl = SSL_new(context);
        SSL_set_tlsext_host_name(ssl, url.host);
        SSL_set1_host(ssl, url.host);
        SSL_set_fd(ssl, fd);
        if (SSL_connect(ssl) != 1) die("tls");
    }
    char head[1024];
    int length = snprintf(head, sizeof head,
                          "GET %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n\r\n", url.path,
                          url.host, url.port);
    if (ssl ? SSL_write(ssl, head, length) != length : send(fd, head, length, 0) != length)
        die("send");
    char *buffer = malloc(PIECE + 1);
    size_t have = 0;
    char *body = NULL;
    while (!body) {
        int n = ssl ? SSL_read(ssl, buffer + have, (int)(PIECE - have))
                    : (int)recv(fd, buffer + have, PIECE - have, 0);
        if (n <= 0) die("head");
        have += (size_t)n;
        buffer[have] = 0;
        body = memmem(buffer, have, "\r\n\r\n", 4);
    }
    body += 4;
    if (strncmp(buffer, "HTTP/1.1 200", 12)) die("status");
    char *field = strcasestr(buffer, "\r\nContent-Length:");
    if (!field || field > body) die("length");
    long long left = atoll(field + 17);
    int out = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (out < 0) die(target);
    size_t rest = have - (size_t)(body - buffer);
    write_all(out, body, rest);
    left -= (long long)rest;
    off_t made = (off_t)rest, begun = 0;
    while (left > 0) {
        size_t want = left < PIECE ? (size_t)left : PIECE;
        ssize_t n = take(ssl, fd, buffer, want);
        if (n <= 0) die("body");
        write_all(out, buffer, (size_t)n);
        left -= n;
        wrote(out, made += n, &begun);
    }
    free(buffer);
    if (ssl) SSL_free(ssl);
    close(fd);
    finish(out);
}
#endif
