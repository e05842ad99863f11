// Text that grows, and the one kind of parameters this engine takes.
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void add(struct text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int more = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (more < 0) abort();
    size_t needed = text->length + (size_t)more + 1;
    if (needed > text->capacity) {
        size_t capacity = needed * 2;
        char *start = realloc(text->start, capacity);
        if (!start) abort();
        text->start = start;
        text->capacity = capacity;
    }
    vsnprintf(text->start + text->length, text->capacity - text->length, format, again);
    va_end(again);
    text->length += (size_t)more;
}

// Passes over `word`, after blanks. Returns where it ends, or NULL when it is not there.
static const char *pass(const char *at, const char *word) {
    if (!at) return NULL;
    at += strspn(at, " \t\r\n");
    size_t length = strlen(word);
    return strncmp(at, word, length) == 0 ? at + length : NULL;
}

static bool parse(const char *text, const char *name, unsigned least, unsigned most, unsigned *value) {
    const char *rest = pass(text, "{"), *end = pass(rest, "}");
    if (!end) {
        rest = pass(pass(pass(pass(rest, "\""), name), "\""), ":");
        if (!rest) return false;
        rest += strspn(rest, " \t\r\n");
        if (*rest < '0' || *rest > '9') return false;
        char *after;
        unsigned long number = strtoul(rest, &after, 10);
        if (number < least || number > most) return false;
        *value = (unsigned)number;
        end = pass(after, "}");
    }
    return end && end[strspn(end, " \t\r\n")] == '\0';
}

bool read_number(const uint8_t *json, size_t length, const char *name, unsigned least, unsigned most, unsigned *value) {
    // The contract's strings have a length and no final zero.
    char *text = strndup((const char *)json, length);
    bool understood = text && parse(text, name, least, most, value);
    free(text);
    return understood;
}
