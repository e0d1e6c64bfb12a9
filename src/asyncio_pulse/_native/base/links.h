// Rings of links embedded in their elements: linking, unlinking and moving take constant time and no memory.
//
// A ring's own link is not an element. It must not be moved in memory. No Python.h; one thread at a time.
#ifndef PULSE_LINKS_H
#define PULSE_LINKS_H

#include <stddef.h>

#include "base/portable.h"

typedef struct pulse_link {
    struct pulse_link *next;
    struct pulse_link *previous;
} pulse_link;

// The element that embeds a link.
#define PULSE_ELEMENT(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

// Make a link an empty ring, or an element of no ring.
static inline void
pulse_link_init(pulse_link *link)
{
    link->next = link->previous = link;
}

static inline bool
pulse_link_is_alone(const pulse_link *link)
{
    return link->next == link;
}

static inline void
pulse_link_remove(pulse_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    pulse_link_init(link);
}

static inline void
pulse_link_insert_after(pulse_link *place, pulse_link *link)
{
    link->previous = place;
    link->next = place->next;
    place->next->previous = link;
    place->next = link;
}

// Make a link, which must be alone, the first or the last element of a ring.
static inline void
pulse_link_prepend(pulse_link *ring, pulse_link *link)
{
    pulse_link_insert_after(ring, link);
}

static inline void
pulse_link_append(pulse_link *ring, pulse_link *link)
{
    pulse_link_insert_after(ring->previous, link);
}

static inline void
pulse_link_move_to_end(pulse_link *ring, pulse_link *link)
{
    pulse_link_remove(link);
    pulse_link_append(ring, link);
}

// Move all elements of one ring to another, which must be empty.
static inline void
pulse_link_take_all(pulse_link *ring, pulse_link *from)
{
    if (pulse_link_is_alone(from)) {
        return;
    }
    *ring = *from;
    ring->next->previous = ring->previous->next = ring;
    pulse_link_init(from);
}

#endif
