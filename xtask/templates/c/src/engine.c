// {{name}}: counts how often one byte occurs. Change it into what you need.
//
// `engine.h` is generated from the contract (wit/engine/v1/engine.wit); a build leaves it in the folder c/{{name}} beside the component.
// ENGINE_NAME and ENGINE_VERSION come from engine.toml. What you print goes to the job's log, line by line.
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Read this much at a time; the host may give less.
enum { PIECE = 256 * 1024 };

// What there is to set, and how to show what is reported: JSON Schema, with the hints that the contract names.
static const char PARAMETERS[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"byte\":{\"title\":\"Byte to count\",\"type\":\"integer\",\"minimum\":0,\"maximum\":255,\"default\":10}}}";
static const char REPORT[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"bytes\":{\"title\":\"Size\",\"type\":\"integer\",\"x-unit\":\"By\",\"x-format\":\"bytes\"},"
    "\"matches\":{\"title\":\"Matches\",\"type\":\"integer\",\"x-format\":\"count\",\"x-column\":true}}}";

void exports_filemill_engine_analyzer_describe(exports_filemill_engine_analyzer_description_t *ret) {
    memset(ret, 0, sizeof *ret);
    engine_string_dup(&ret->name, ENGINE_NAME);
    engine_string_dup(&ret->version, ENGINE_VERSION);
    engine_string_dup(&ret->summary, "counts how often one byte occurs");
    ret->access = FILEMILL_ENGINE_TYPES_ACCESS_STREAMING;
    engine_string_dup(&ret->parameter_schema, PARAMETERS);
    engine_string_dup(&ret->report_schema, REPORT);
}

// Says why there is no report. The uploader reads it.
static bool failed(exports_filemill_engine_analyzer_failure_t *err, const char *why) {
    err->tag = FILEMILL_ENGINE_TYPES_FAILURE_FAILED;
    engine_string_dup(&err->val.failed, why);
    return false;
}

// Passes over one word of JSON, after blanks. Returns where it ends, or NULL when it is not there.
static const char *word(const char *at, const char *expected) {
    if (!at) return NULL;
    at += strspn(at, " \t\r\n");
    size_t length = strlen(expected);
    return strncmp(at, expected, length) == 0 ? at + length : NULL;
}

// Reads the parameters: `{}` or `{"byte": n}`, and nothing else. For more than a number or two, bring a JSON library.
static bool byte_to_count(const char *json, uint8_t *byte) {
    *byte = '\n';
    const char *rest = word(json, "{"), *end = word(rest, "}");
    if (!end) {
        rest = word(word(rest, "\"byte\""), ":");
        if (!rest) return false;
        rest += strspn(rest, " \t\r\n");
        if (*rest < '0' || *rest > '9') return false;
        char *after;
        unsigned long value = strtoul(rest, &after, 10);
        if (value > 255) return false;
        *byte = (uint8_t)value;
        end = word(after, "}");
    }
    return end && end[strspn(end, " \t\r\n")] == '\0';
}

bool exports_filemill_engine_analyzer_analyze(
    exports_filemill_engine_analyzer_file_t *file, exports_filemill_engine_analyzer_own_input_t input,
    engine_string_t *parameters, exports_filemill_engine_analyzer_report_t *ret,
    exports_filemill_engine_analyzer_failure_t *err
) {
    // The contract's strings have a length and no final zero.
    char *json = strndup((const char *)parameters->ptr, parameters->len);
    uint8_t byte;
    bool understood = json && byte_to_count(json, &byte);
    free(json);
    if (!understood) return failed(err, "the parameters are not understood; hint: `{}` or `{\"byte\": 0 to 255}`");
    printf("counting byte %u\n", byte);

    filemill_engine_host_borrow_input_t bytes_of = filemill_engine_host_borrow_input(input);
    uint64_t bytes = 0, matches = 0;
    for (;;) {
        engine_list_u8_t piece;
        filemill_engine_host_input_error_t error;
        if (!filemill_engine_host_method_input_read(bytes_of, PIECE, &piece, &error)) {
            return failed(err, "the input ended early");
        }
        size_t length = piece.len; // 0 at the end of the file
        for (size_t i = 0; i < length; i++) matches += piece.ptr[i] == byte;
        bytes += length;
        engine_list_u8_free(&piece);
        if (length == 0) break;
        // Announced sizes are only announced: guard the division.
        if (file->size > 0) filemill_engine_host_progress((uint32_t)(bytes >= file->size ? 1000 : bytes * 1000 / file->size));
    }

    char text[128];
    memset(ret, 0, sizeof *ret);
    snprintf(text, sizeof text, "%" PRIu64 " matches in %" PRIu64 " bytes", matches, bytes);
    engine_string_dup(&ret->summary, text);
    snprintf(text, sizeof text, "{\"bytes\":%" PRIu64 ",\"matches\":%" PRIu64 "}", bytes, matches);
    engine_string_dup(&ret->json, text);
    return true;
}
