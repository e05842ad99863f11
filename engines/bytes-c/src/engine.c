// bytes-c: how often each byte value occurs, with a histogram to look at. A whole engine in C.
//
// `engine.h` is generated from the contract (wit/engine/v1/engine.wit); a build leaves it in the folder c/bytes-c beside the component.
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

// Read this much at a time; the host may give less.
enum { PIECE = 256 * 1024 };

static const char PARAMETERS[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"most\":{\"title\":\"Bytes to list\",\"type\":\"integer\",\"minimum\":1,\"maximum\":256,\"default\":5}}}";
static const char REPORT[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"bytes\":{\"title\":\"Size\",\"type\":\"integer\",\"x-unit\":\"By\",\"x-format\":\"bytes\"},"
    "\"distinct\":{\"title\":\"Distinct bytes\",\"type\":\"integer\",\"x-format\":\"count\",\"x-column\":true},"
    "\"ascii\":{\"title\":\"ASCII text\",\"type\":\"integer\",\"x-unit\":\"By\",\"x-format\":\"bytes\"},"
    "\"most\":{\"title\":\"Most frequent bytes\",\"type\":\"array\",\"x-format\":\"table\",\"items\":{"
    "\"type\":\"object\",\"properties\":{"
    "\"byte\":{\"title\":\"Byte\",\"type\":\"integer\"},"
    "\"count\":{\"title\":\"Count\",\"type\":\"integer\",\"x-format\":\"count\"}}}}}}";

struct bucket {
    uint64_t count;
    uint8_t byte;
};

void exports_filemill_engine_analyzer_describe(exports_filemill_engine_analyzer_description_t *ret) {
    memset(ret, 0, sizeof *ret);
    engine_string_dup(&ret->name, ENGINE_NAME);
    engine_string_dup(&ret->version, ENGINE_VERSION);
    engine_string_dup(&ret->summary, "counts how often each byte value occurs");
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

// Counts every byte of the file. Four tables, so that equal neighbours do not wait for each other. Returns whether the input
// was there to its end.
static bool count(filemill_engine_host_borrow_input_t input, uint64_t announced, struct bucket buckets[256]) {
    static uint64_t counts[4][256];
    uint64_t bytes = 0;
    for (;;) {
        engine_list_u8_t piece;
        filemill_engine_host_input_error_t error;
        if (!filemill_engine_host_method_input_read(input, PIECE, &piece, &error)) return false;
        size_t length = piece.len; // 0 at the end of the file
        for (size_t i = 0; i < length; i++) counts[i % 4][piece.ptr[i]]++;
        engine_list_u8_free(&piece);
        if (length == 0) break;
        bytes += length;
        // Announced sizes are only announced: guard the division.
        if (announced > 0) filemill_engine_host_progress((uint32_t)(bytes >= announced ? 1000 : bytes * 1000 / announced));
    }
    for (int byte = 0; byte < 256; byte++) {
        buckets[byte].byte = (uint8_t)byte;
        buckets[byte].count = counts[0][byte] + counts[1][byte] + counts[2][byte] + counts[3][byte];
    }
    return true;
}

static int more_first(const void *a, const void *b) {
    const struct bucket *one = a, *other = b;
    if (one->count != other->count) return one->count < other->count ? 1 : -1;
    return one->byte - other->byte;
}

// One bar a byte value, as high as it is frequent beside the most frequent one.
static void draw(struct text *svg, const struct bucket buckets[256], uint64_t highest) {
    add(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1024 256\" role=\"img\">"
             "<title>How often each byte value occurs</title><rect width=\"1024\" height=\"256\" fill=\"#fff\"/>"
             "<path fill=\"#36c\" d=\"");
    for (int byte = 0; byte < 256; byte++) {
        if (buckets[byte].count == 0) continue;
        // At least one, so that a single byte is seen.
        double share = (double)buckets[byte].count / (double)highest;
        int height = 1 + (int)(share * 255);
        add(svg, "M%d 256v-%dh4v%dz", byte * 4, height, height);
    }
    add(svg, "\"/></svg>\n");
}

static void write_report(struct text *json, struct bucket buckets[256], uint64_t total, unsigned most, unsigned *distinct) {
    uint64_t ascii = 0;
    *distinct = 0;
    for (int byte = 0; byte < 256; byte++) {
        *distinct += buckets[byte].count > 0;
        bool is_text = (byte >= 0x20 && byte < 0x7f) || byte == '\n' || byte == '\r' || byte == '\t';
        if (is_text) ascii += buckets[byte].count;
    }
    add(json, "{\"bytes\":%llu,\"distinct\":%u,\"ascii\":%llu,\"most\":[", total, *distinct, ascii);
    qsort(buckets, 256, sizeof buckets[0], more_first);
    for (unsigned i = 0; i < most && buckets[i].count > 0; i++) {
        add(json, "%s{\"byte\":%u,\"count\":%llu}", i ? "," : "", buckets[i].byte, buckets[i].count);
    }
    add(json, "]}");
}

bool exports_filemill_engine_analyzer_analyze(
    exports_filemill_engine_analyzer_file_t *file, exports_filemill_engine_analyzer_own_input_t input,
    engine_string_t *parameters, exports_filemill_engine_analyzer_report_t *ret,
    exports_filemill_engine_analyzer_failure_t *err
) {
    unsigned most = 5;
    if (!read_number(parameters->ptr, parameters->len, "most", 1, 256, &most)) {
        return failed(err, "the parameters are not understood; hint: `{}` or `{\"most\": 1 to 256}`");
    }
    struct bucket buckets[256];
    if (!count(filemill_engine_host_borrow_input(input), file->size, buckets)) {
        return failed(err, "the input ended early");
    }
    uint64_t total = 0, highest = 1;
    for (int byte = 0; byte < 256; byte++) {
        total += buckets[byte].count;
        if (buckets[byte].count > highest) highest = buckets[byte].count;
    }

    struct text svg = { 0 }, json = { 0 }, summary = { 0 };
    unsigned distinct;
    draw(&svg, buckets, highest);
    write_report(&json, buckets, total, most, &distinct);
    add(&summary, "%llu bytes, %u distinct", total, distinct);

    // What is handed out belongs to the generated code from here on, which frees it.
    memset(ret, 0, sizeof *ret);
    ret->summary = (engine_string_t){ (uint8_t *)summary.start, summary.length };
    ret->json = (engine_string_t){ (uint8_t *)json.start, json.length };
    ret->artifacts.ptr = calloc(1, sizeof *ret->artifacts.ptr);
    if (!ret->artifacts.ptr) abort();
    ret->artifacts.len = 1;
    engine_string_dup(&ret->artifacts.ptr[0].name, "histogram.svg");
    engine_string_dup(&ret->artifacts.ptr[0].media_type, "image/svg+xml");
    ret->artifacts.ptr[0].data = (engine_list_u8_t){ (uint8_t *)svg.start, svg.length };
    return true;
}
