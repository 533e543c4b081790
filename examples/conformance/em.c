/* EM in C99: the 1D Gaussian mixture and the categorical hidden Markov model, as a program that
   answers lockstep's conformance vectors. It reads one JSON request a line and writes one JSON
   answer a line; docs/conformance.md describes both.

       cc -O2 -o em examples/conformance/em.c -lm
       python -m lockstep.comparisons.vectors --command ./em \
           --model gaussian_mixture_1d --model categorical_hmm

   The first half is a small JSON reader; the mathematics begins at "Gaussian mixture". */

#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf refusal;
static char reason[256];

/* Give up on a request: its answer is this message. */
static void refuse(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    longjmp(refusal, 1);
}

/* ---- Memory: whatever a request needs is freed when it has been answered ------------------- */

typedef struct Block { struct Block *next; double align; } Block;
static Block *blocks;

static void *claim(size_t number, size_t size)
{
    Block *block = calloc(1, sizeof *block + number * size);
    if (!block) { fputs("out of memory\n", stderr); exit(1); }
    block->next = blocks;
    blocks = block;
    return block + 1;
}

static double *zeros(size_t number) { return claim(number, sizeof(double)); }

static void free_all(void)
{
    while (blocks) { Block *next = blocks->next; free(blocks); blocks = next; }
}

/* ---- JSON ---------------------------------------------------------------------------------- */

typedef struct Value {
    enum { NOTHING, NUMBER, TEXT, LIST, OBJECT } kind;
    double number;
    char *text;             /* a string */
    size_t size;            /* of a list or an object */
    struct Value **items;
    char **names;           /* of an object's items */
} Value;

static const char *at; /* where the reader is */

static void space(void) { at += strspn(at, " \t\r\n"); }

static char *read_string(void)
{
    const char *begin = ++at;
    while (*at && *at != '"') at += *at == '\\' && at[1] ? 2 : 1;
    if (!*at) refuse("a string does not end");
    char *text = claim(at - begin + 1, 1);
    memcpy(text, begin, at++ - begin); /* escapes are left as they are: ids have none */
    return text;
}

static Value *read_value(void)
{
    Value *value = claim(1, sizeof *value);
    space();
    if (*at == '"') {
        value->kind = TEXT;
        value->text = read_string();
    } else if (*at == '[' || *at == '{') {
        char end = *at == '[' ? ']' : '}';
        size_t room = 8;
        value->kind = end == ']' ? LIST : OBJECT;
        value->items = claim(room, sizeof *value->items);
        value->names = claim(room, sizeof *value->names);
        for (at++, space(); *at != end; space()) {
            if (value->size == room) {
                Value **items = claim(2 * room, sizeof *items);
                char **names = claim(2 * room, sizeof *names);
                memcpy(items, value->items, room * sizeof *items);
                memcpy(names, value->names, room * sizeof *names);
                value->items = items, value->names = names, room *= 2;
            }
            if (end == '}') {
                if (*at != '"') refuse("not JSON: a name was expected at '%.20s'", at);
                value->names[value->size] = read_string();
                space();
                if (*at++ != ':') refuse("not JSON: ':' is missing");
            }
            value->items[value->size++] = read_value();
            space();
            if (*at == ',') at++;
            else if (*at != end) refuse("not JSON: ',' or '%c' was expected at '%.20s'", end, at);
        }
        at++;
    } else if (!strncmp(at, "null", 4)) {
        at += 4;
    } else if (*at == '-' || (*at >= '0' && *at <= '9')) {
        char *end;
        value->kind = NUMBER;
        value->number = strtod(at, &end); /* 1e999 is infinity */
        at = end;
    } else {
        refuse("not JSON: '%.20s'", at);
    }
    return value;
}

static Value *member(const Value *object, const char *name)
{
    for (size_t i = 0; object->kind == OBJECT && i < object->size; i++)
        if (!strcmp(object->names[i], name)) return object->items[i];
    refuse("there is no \"%s\"", name);
    return NULL;
}

static const char *text_of(const Value *object, const char *name)
{
    const Value *value = member(object, name);
    if (value->kind != TEXT) refuse("\"%s\" is no text", name);
    return value->text;
}

/* The list of that name as an array of finite numbers, shape (rows, columns); a size of 0 is not
   known yet and is set. A list of plain numbers has one row. */
static double *array(const Value *object, const char *name, size_t *rows, size_t *columns)
{
    const Value *list = member(object, name);
    if (list->kind != LIST || !list->size) refuse("%s is empty or no list", name);
    int nested = list->items[0]->kind == LIST;
    if (nested && !*rows) *rows = list->size;
    if (nested && list->size != *rows) refuse("%s has %zu rows, not %zu", name, list->size, *rows);
    if (!nested && *rows != 1) refuse("%s should be a list of rows", name);
    double *numbers = NULL;
    for (size_t i = 0; i < *rows; i++) {
        const Value *row = nested ? list->items[i] : list;
        if (row->kind == LIST && !*columns) *columns = row->size;
        if (row->kind != LIST || row->size != *columns || !*columns)
            refuse("%s: a row does not have %zu entries", name, *columns);
        if (!numbers) numbers = zeros(*rows * *columns);
        for (size_t j = 0; j < *columns; j++) {
            const Value *entry = row->items[j];
            if (entry->kind != NUMBER || !isfinite(entry->number))
                refuse("%s has an entry that is not a finite number", name);
            numbers[i * *columns + j] = entry->number;
        }
    }
    return numbers;
}

static void refuse_improbable(const double *p, size_t rows, size_t columns, const char *name)
{
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < columns; j++) {
            if (p[i * columns + j] < 0) refuse("%s has a negative entry", name);
            sum += p[i * columns + j];
        }
        if (fabs(sum - 1) > 1e-9) refuse("a row of %s sums to %g, not 1", name, sum);
    }
}

/* Seventeen significant digits give every double back exactly. */
static void write_array(const char *name, const double *p, size_t rows, size_t columns)
{
    printf("\"%s\":%s", name, rows ? "[" : "");
    for (size_t i = 0; i < (rows ? rows : 1); i++) {
        printf("%s[", i ? "," : "");
        for (size_t j = 0; j < columns; j++)
            printf("%s%.17g", j ? "," : "", p[i * columns + j]);
        printf("]");
    }
    printf("%s", rows ? "]" : "");
}

/* ---- Gaussian mixture, 1D: N observations, K components ------------------------------------ */

static const double PI = 3.141592653589793;

/* Responsibilities r[n K + k] = p(z_n = k | x_n) by log-sum-exp, so that no density underflows;
   returns the log-likelihood. A missing value (NaN) has the density 1. */
static double responsibilities(const double *x, size_t N, size_t K, const double *weights,
                               const double *means, const double *variances, double *r)
{
    double log_likelihood = 0;
    for (size_t n = 0; n < N; n++, r += K) {
        double largest = -INFINITY, sum = 0;
        for (size_t k = 0; k < K; k++) {
            double d = x[n] - means[k], log_density = 0;
            if (!isnan(x[n])) log_density = -0.5 * (log(2 * PI * variances[k]) + d * d / variances[k]);
            r[k] = log(weights[k]) + log_density;
            if (r[k] > largest) largest = r[k];
        }
        for (size_t k = 0; k < K; k++) sum += r[k] = exp(r[k] - largest);
        for (size_t k = 0; k < K; k++) r[k] /= sum;
        log_likelihood += largest + log(sum);
    }
    return log_likelihood;
}

static void mixture(const Value *request, size_t iterations)
{
    const Value *start = member(request, "start"), *data = member(request, "data");
    size_t K = 0, one = 1;
    double *weights = array(start, "weights", &one, &K);
    double *means = array(start, "means", &one, &K);
    double *variances = array(start, "variances", &one, &K);
    refuse_improbable(weights, 1, K, "weights");
    for (size_t k = 0; k < K; k++)
        if (variances[k] <= 0) refuse("variance %zu is %g", k, variances[k]);

    if (data->kind != LIST || !data->size) refuse("there are no data");
    size_t N = data->size;
    double *x = zeros(N), *r = zeros(N * K), least = INFINITY, most = -INFINITY;
    for (size_t n = 0; n < N; n++) {
        const Value *value = data->items[n];
        if (value->kind != NOTHING && (value->kind != NUMBER || !isfinite(value->number)))
            refuse("value %zu is not a finite number", n);
        x[n] = value->kind == NOTHING ? NAN : value->number;
        least = fmin(least, x[n]), most = fmax(most, x[n]); /* they pass over NaN */
    }
    double range = most - least;
    if (iterations && !(range > 0)) refuse("all values are equal: every variance becomes zero");

    double log_likelihood = responsibilities(x, N, K, weights, means, variances, r);
    while (iterations--) {
        for (size_t k = 0; k < K; k++) {
            double count = 0, mean = 0, variance = 0;
            for (size_t n = 0; n < N; n++) {
                count += r[n * K + k];
                mean += r[n * K + k] * (isnan(x[n]) ? means[k] : x[n]);
            }
            if (!(count > 0)) refuse("component %zu has no observations left", k);
            mean /= count;
            for (size_t n = 0; n < N; n++) { /* about the new mean; a missing one's is expected */
                double d = (isnan(x[n]) ? means[k] : x[n]) - mean;
                variance += r[n * K + k] * (d * d + (isnan(x[n]) ? variances[k] : 0));
            }
            weights[k] = count / N;
            means[k] = mean;
            variances[k] = variance / count;
            if (!(variances[k] > 1e-20 * range * range))
                refuse("component %zu collapsed onto %g", k, mean);
        }
        log_likelihood = responsibilities(x, N, K, weights, means, variances, r);
    }
    printf("\"parameters\":{");
    write_array("weights", weights, 0, K), printf(",");
    write_array("means", means, 0, K), printf(",");
    write_array("variances", variances, 0, K);
    printf("},\"log_likelihood\":%.17g}\n", log_likelihood);
}

/* ---- Categorical hidden Markov model: K states, V symbols, T steps -------------------------- */

typedef struct { size_t K, V; double *pi, *A, *B; } Hmm;

/* The probability that state i shows a symbol; 1 if it was not observed (-1). */
static double shows(const Hmm *m, size_t i, int symbol)
{
    return symbol < 0 ? 1 : m->B[i * m->V + symbol];
}

/* Add the expected counts of one sequence and return its log-likelihood. Forward and backward are
   scaled: scale[t] = p(x_t | x_1 .. x_{t-1}) is divided out at each step. */
static double count(const Hmm *m, const int *x, size_t T, Hmm *counts)
{
    size_t K = m->K;
    double *alpha = zeros(T * K), *scale = zeros(T), log_likelihood = 0;
    double *beta = zeros(K), *ahead = zeros(K);
    for (size_t t = 0; t < T; t++) {
        for (size_t j = 0; j < K; j++) {
            double predicted = t ? 0 : m->pi[j];
            for (size_t i = 0; t && i < K; i++)
                predicted += alpha[(t - 1) * K + i] * m->A[i * K + j];
            scale[t] += alpha[t * K + j] = predicted * shows(m, j, x[t]);
        }
        if (!(scale[t] > 0)) refuse("a sequence is impossible: symbol %d at step %zu", x[t], t);
        for (size_t j = 0; j < K; j++) alpha[t * K + j] /= scale[t];
        log_likelihood += log(scale[t]);
    }
    for (size_t i = 0; i < K; i++) beta[i] = 1;
    for (size_t t = T; t-- > 0;) {
        for (size_t i = 0; i < K; i++) { /* gamma = alpha beta */
            double gamma = alpha[t * K + i] * beta[i];
            if (x[t] >= 0) counts->B[i * m->V + x[t]] += gamma;
            if (!t) counts->pi[i] += gamma;
        }
        if (!t) break;
        for (size_t j = 0; j < K; j++) ahead[j] = shows(m, j, x[t]) * beta[j] / scale[t];
        for (size_t i = 0; i < K; i++) {
            beta[i] = 0;
            for (size_t j = 0; j < K; j++) {
                double step = m->A[i * K + j] * ahead[j];
                counts->A[i * K + j] += alpha[(t - 1) * K + i] * step; /* xi */
                beta[i] += step;
            }
        }
    }
    return log_likelihood;
}

/* Each row's shares of its count; a row without any count stays as it is. */
static void shares(double *p, const double *counts, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i++, p += columns, counts += columns) {
        double sum = 0;
        for (size_t j = 0; j < columns; j++) sum += counts[j];
        for (size_t j = 0; sum > 0 && j < columns; j++) p[j] = counts[j] / sum;
    }
}

static void hidden_markov_model(const Value *request, size_t iterations)
{
    const Value *start = member(request, "start"), *data = member(request, "data");
    Hmm m = {0};
    size_t one = 1;
    m.pi = array(start, "startprob", &one, &m.K);
    m.A = array(start, "transmat", &m.K, &m.K);
    m.B = array(start, "emissionprob", &m.K, &m.V);
    refuse_improbable(m.pi, 1, m.K, "startprob");
    refuse_improbable(m.A, m.K, m.K, "transmat");
    refuse_improbable(m.B, m.K, m.V, "emissionprob");

    if (data->kind != LIST || !data->size) refuse("there are no sequences");
    int **x = claim(data->size, sizeof *x);
    for (size_t s = 0; s < data->size; s++) {
        const Value *sequence = data->items[s];
        if (sequence->kind != LIST || !sequence->size) refuse("sequence %zu is empty or no list", s);
        x[s] = claim(sequence->size, sizeof **x);
        for (size_t t = 0; t < sequence->size; t++) {
            const Value *symbol = sequence->items[t];
            x[s][t] = -1;
            if (symbol->kind == NOTHING) continue;
            if (symbol->kind != NUMBER || !(symbol->number >= 0) || !(symbol->number < m.V)
                || symbol->number != floor(symbol->number))
                refuse("step %zu of sequence %zu is none of the symbols 0 .. %zu", t, s, m.V - 1);
            x[s][t] = (int)symbol->number;
        }
    }
    for (size_t iteration = 0;; iteration++) {
        Hmm counts = {m.K, m.V, zeros(m.K), zeros(m.K * m.K), zeros(m.K * m.V)};
        double log_likelihood = 0;
        for (size_t s = 0; s < data->size; s++)
            log_likelihood += count(&m, x[s], data->items[s]->size, &counts);
        if (iteration == iterations) {
            printf("\"parameters\":{");
            write_array("startprob", m.pi, 0, m.K), printf(",");
            write_array("transmat", m.A, m.K, m.K), printf(",");
            write_array("emissionprob", m.B, m.K, m.V);
            printf("},\"log_likelihood\":%.17g}\n", log_likelihood);
            return;
        }
        shares(m.pi, counts.pi, 1, m.K);
        shares(m.A, counts.A, m.K, m.K);
        shares(m.B, counts.B, m.K, m.V);
    }
}

/* ---- One answer a request ------------------------------------------------------------------ */

static void answer(const char *line)
{
    static char id[256]; /* static, so that it outlives the jump */
    *id = 0;
    if (!setjmp(refusal)) {
        at = line;
        const Value *request = read_value();
        snprintf(id, sizeof id, "%s", text_of(request, "id"));
        const char *model = text_of(request, "model");
        double iterations = member(request, "iterations")->number;
        printf("{\"id\":\"%s\",", id);
        if (!strcmp(model, "gaussian_mixture_1d")) mixture(request, (size_t)iterations);
        else if (!strcmp(model, "categorical_hmm")) hidden_markov_model(request, (size_t)iterations);
        else refuse("the model %s is not here", model);
    } else {
        for (char *c = reason; *c; c++)
            if (*c == '"' || *c == '\\') *c = '\'';
        printf("%s\"error\":\"%s\"}\n", *id ? "" : "{\"id\":null,", reason);
    }
    fflush(stdout);
    free_all();
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) answer(line);
    free(line);
    return 0;
}
