/* The first member of a ZIP, inflated by ISA-L; its size and CRC are those of the directory. */
#ifndef ZIP_H
#define ZIP_H
#include "bulk.h"
#include <isa-l.h>
#include <openssl/evp.h>

#define INFLATE_IN (64 << 10)
#define INFLATE_OUT (128 << 10)

static inline uint32_t le32(const uint8_t *at) {
    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint16_t le16(const uint8_t *at) { return (uint16_t)(at[0] | at[1] << 8); }

static inline void unzip(const char *source, const char *target, int digest) {
    int in = open(source, O_RDONLY);
    struct stat about;
    if (in < 0 || fstat(in, &about)) die(source);
    uint8_t tail[22], entry[46], local[30];
    if (pread(in, tail, 22, about.st_size - 22) != 22 || le32(tail) != 0x06054b50) die("zip end");
    if (pread(in, entry, 46, le32(tail + 16)) != 46 || le32(entry) != 0x02014b50) die("zip entry");
    uint32_t crc = le32(entry + 16), packed = le32(entry + 20), size = le32(entry + 24);
    if (pread(in, local, 30, le32(entry + 42)) != 30) die("zip local");
    lseek(in, le32(entry + 42) + 30 + le16(local + 26) + le16(local + 28), SEEK_SET);

    int out = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (out < 0) die(target);
    uint8_t *input = malloc(INFLATE_IN), *output = malloc(INFLATE_OUT);
    struct inflate_state *state = malloc(sizeof *state);
    isal_inflate_init(state);
    state->crc_flag = ISAL_DEFLATE;
    EVP_MD_CTX *sha = digest ? EVP_MD_CTX_new() : NULL;
    if (sha) EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
    uint32_t sum = 0, made = 0, left = packed;
    off_t begun = 0;
    while (state->block_state != ISAL_BLOCK_FINISH) {
        if (!state->avail_in && left) {
            ssize_t n = read(in, input, left < INFLATE_IN ? left : INFLATE_IN);
            if (n <= 0) die("read");
            left -= (uint32_t)n;
            state->next_in = input;
            state->avail_in = (uint32_t)n;
        }
        state->next_out = output;
        state->avail_out = INFLATE_OUT;
        if (isal_inflate(state) != ISAL_DECOMP_OK) die("inflate");
        uint32_t n = INFLATE_OUT - state->avail_out;
        if (!n && !left && !state->avail_in && state->block_state != ISAL_BLOCK_FINISH)
            die("ends early");
        sum = crc32_gzip_refl(sum, output, n);
        if (sha) EVP_DigestUpdate(sha, output, n);
        write_all(out, output, n);
        made += n;
        wrote(out, made, &begun);
    }
    if (made != size || sum != crc) die("size or crc");
    if (sha) {
        uint8_t value[32];
        EVP_DigestFinal_ex(sha, value, NULL);
        EVP_MD_CTX_free(sha);
    }
    free(state);
    free(output);
    free(input);
    close(in);
    finish(out);
}
#endif
