/*
 * seq_check.h: numbered messages, and whether a subscriber got them as it must:
 * in order, none twice, and every number that is missing explained by a gap
 * notice of exactly that size, told before it gets anything more but critical
 * messages.
 *
 * A message is ten digits, a letter for its class (c, n, v) and filler. In JSON
 * mode it is a string in `data`; in raw mode a host tells of a gap by sending
 * the text "gap N" from on_gap.
 */
#ifndef WSH_TEST_SEQ_CHECK_H
#define WSH_TEST_SEQ_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SEQ_MIN = 11 };

struct seq_check {
    uint64_t next;     /* number after the last one that came */
    uint64_t holes;    /* numbers missing that no gap has explained */
    uint64_t told;     /* by gaps that no message has followed yet */
    uint64_t received; /* messages */
    uint64_t critical; /* of them */
    uint64_t lost;     /* sum of all gaps */
    uint64_t gaps;
    uint64_t breaks; /* places where numbers are missing */
    uint64_t tail;   /* messages since the last of them */
    /* Old messages make way for new ones (drop oldest, conflate): holes may
     * come long before they are told. */
    bool holes_first;
};

/* Write a message of `size` bytes, at least SEQ_MIN. */
void seq_write(char *to, size_t size, uint64_t number, char cls);

/* What a client received: NULL, or what is wrong with it. Anything that is
 * neither a message nor a gap is ignored. */
const char *seq_check(struct seq_check *check, const uint8_t *data, size_t len);

#endif
