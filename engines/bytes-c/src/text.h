// Text that grows, and the one kind of parameters this engine takes.
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Text that grows as it is added to. Begin with `{ 0 }`.
struct text {
    char *start;
    size_t length, capacity;
};

// Adds to `text`, as printf. Ends the run when there is no memory left.
void add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Reads a JSON object that is empty or has one member, `name`, a whole number from `least` to `most`, and puts that into
// `value`. Returns whether `json` was such an object.
bool read_number(const uint8_t *json, size_t length, const char *name, unsigned least, unsigned most, unsigned *value);

#endif
