/* html_check FILE [TEXT ..]: is the page well formed and alone? Every element is closed in order, every attribute quoted, ids are unique, links
 * lead to ids of the page, nothing is loaded from elsewhere, and there is one script, the page's own. Each TEXT must stand in the page's text
 * (markup removed, entities decoded). A parser of its own: it knows nothing of how the page is made. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 64
#define MAX_IDS 4096

static char *page;
static char *text; /* of the page, without style and script */
static size_t n_text;
static char id[MAX_IDS][64], link_to[MAX_IDS][64];
static int n_id, n_link, n_script;

static void fail(const char *at, const char *what, const char *detail) {
  long line = 1;
  for (const char *s = page; s < at; s++) line += *s == '\n';
  printf("html_check: line %ld, offset %ld: %s%s%.60s\n", line, (long)(at - page), what, detail[0] != 0 ? ": " : "", detail);
  exit(1);
}

static bool is_void(const char *name) {
  static const char *const list[] = {"meta", "link", "br", "img", "input", "hr"};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++)
    if (strcmp(list[i], name) == 0) return true;
  return false;
}

static void attribute(const char *at, const char *tag, const char *name, const char *value) {
  if (strncmp(name, "on", 2) == 0) fail(at, "an attribute that is a script", name);
  if (strcmp(name, "id") == 0) {
    for (int i = 0; i < n_id; i++)
      if (strcmp(id[i], value) == 0) fail(at, "two elements with one id", value);
    if (n_id < MAX_IDS) (void)snprintf(id[n_id++], 64, "%s", value);
  }
  const bool loads = strcmp(name, "src") == 0 || strcmp(name, "href") == 0 || strcmp(name, "action") == 0 || strcmp(name, "data") == 0 ||
                     strcmp(name, "srcset") == 0;
  if (loads && strncmp(value, "data:", 5) == 0 && strcmp(tag, "a") != 0) return;
  if (loads && value[0] == '#') {
    if (n_link < MAX_IDS) (void)snprintf(link_to[n_link++], 64, "%s", value + 1);
    return;
  }
  if (loads) fail(at, "a resource from elsewhere", value);
  if (strstr(value, "url(") != NULL || strstr(value, "javascript:") != NULL) fail(at, "a resource in an attribute", value);
}

static const char *attributes(const char *s, const char *tag) {
  for (;;) {
    char name[64], value[256];
    size_t n;
    while (isspace((unsigned char)*s)) s++;
    if (*s == '>') return s + 1;
    if (*s == '/' && s[1] == '>') return s + 2;
    n = strcspn(s, "=<>\"' \n\t/");
    if (n == 0 || n >= sizeof name) fail(s, "no attribute", "");
    memcpy(name, s, n);
    name[n] = 0;
    s += n;
    if (*s != '=') {
      attribute(s, tag, name, "");
      continue;
    }
    if (*++s != '"') fail(s, "an attribute without quotes", name);
    n = strcspn(++s, "\"");
    if (s[n] == 0) fail(s, "an attribute without end", name);
    if (memchr(s, '<', n) != NULL) fail(s, "< in an attribute", name);
    memcpy(value, s, n < sizeof value - 1 ? n : sizeof value - 1);
    value[n < sizeof value - 1 ? n : sizeof value - 1] = 0;
    attribute(s, tag, name, value);
    s += n + 1;
  }
}

/* One character of text; entities that the page may use. */
static const char *character(const char *s) {
  static const struct { const char *entity, *is; } known[] = {{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}, {"&quot;", "\""}};
  if (*s != '&') {
    text[n_text++] = *s;
    return s + 1;
  }
  for (size_t k = 0; k < sizeof known / sizeof *known; k++)
    if (strncmp(s, known[k].entity, strlen(known[k].entity)) == 0) {
      text[n_text++] = known[k].is[0];
      return s + strlen(known[k].entity);
    }
  if (s[1] == '#' && isdigit((unsigned char)s[2])) {
    s += 2 + strspn(s + 2, "0123456789");
    if (*s == ';') return s + 1;
  }
  fail(s, "& that starts no entity", "");
  return s;
}

/* Style and script end at their own end tag alone, whatever stands in them. */
static const char *raw(const char *s, const char *name) {
  char end[48];
  (void)snprintf(end, sizeof end, "</%s>", name);
  const char *stop = strstr(s, end);
  if (stop == NULL) fail(s, "without end", name);
  static const char *const bad[] = {"http:", "https:", "@import", "url(", "fetch(", "XMLHttp", "eval(", "innerHTML"};
  for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
    const char *at = strstr(s, bad[k]);
    if (at != NULL && at < stop) fail(at, "not wanted in style or script", bad[k]);
  }
  n_script += strcmp(name, "script") == 0;
  return stop + strlen(end);
}

static void parse(void) {
  char open[DEPTH][32];
  int depth = 0;
  const char *s = page;
  if (strncmp(s, "<!doctype html>", 15) != 0) fail(s, "no doctype", "");
  s += 15;
  while (*s != 0) {
    char name[32];
    if (*s != '<') {
      if (*s == '>') fail(s, "> in text", "");
      s = character(s);
      continue;
    }
    const char *at = s++;
    const bool closing = *s == '/';
    s += closing;
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (n == 0 || n >= sizeof name) fail(at, "no tag", "");
    memcpy(name, s, n);
    name[n] = 0;
    s += n;
    if (closing) {
      if (*s != '>') fail(s, "an end tag with more in it", name);
      if (depth == 0 || strcmp(open[depth - 1], name) != 0) fail(at, "closes what is not open", name);
      depth--;
      s++;
      text[n_text++] = ' ';
      continue;
    }
    s = attributes(s, name);
    if (s[-2] == '/' || is_void(name)) continue;
    if (strcmp(name, "style") == 0 || strcmp(name, "script") == 0) {
      s = raw(s, name);
      continue;
    }
    if (depth == DEPTH) fail(at, "too deep", name);
    memcpy(open[depth++], name, sizeof name);
  }
  if (depth != 0) fail(s, "not closed", open[depth - 1]);
}

int main(int argc, char **argv) {
  FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
  long n = f != NULL && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
  if (n < 0 || fseek(f, 0, SEEK_SET) != 0 || (page = malloc((size_t)n + 1)) == NULL || (text = malloc((size_t)n + 1)) == NULL ||
      fread(page, 1, (size_t)n, f) != (size_t)n) {
    printf("html_check: cannot read %s\n", argc > 1 ? argv[1] : "nothing");
    return 2;
  }
  (void)fclose(f);
  page[n] = 0;
  if (strlen(page) != (size_t)n) fail(page + strlen(page), "a NUL byte", "");
  parse();
  text[n_text] = 0;
  if (n_script != 1) fail(page, "not one script", "");
  for (int k = 0; k < n_link; k++) {
    int i = 0;
    while (i < n_id && strcmp(id[i], link_to[k]) != 0) i++;
    if (i == n_id) fail(page, "a link to nowhere", link_to[k]);
  }
  for (int k = 2; k < argc; k++)
    if (strstr(text, argv[k]) == NULL) fail(page, "not in the text", argv[k]);
  printf("%ld bytes, %d ids, %d links\n", n, n_id, n_link);
  free(page);
  free(text);
  return 0;
}
