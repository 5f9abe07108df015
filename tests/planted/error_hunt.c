/* Random networks against the proved error bound until an executed input leaves it: error_hunt N [--none]. Exit 0 if one of N did; with
 * --none, exit 0 if none did. Linked against a bound with a planted bug by tests/planted/run.sh. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/error_trial.h"

int main(int argc, char **argv) {
  int n = argc > 1 ? atoi(argv[1]) : 300;
  int none = argc > 2 && strcmp(argv[2], "--none") == 0;
  et_count c = {0};
  for (int i = 0; i < n && c.broken[0] == 0; i++) et_trial(&c, 7000 + (unsigned)i, 1);
  printf("%zu networks, %zu inputs: %s\n", c.nets, c.points, c.broken[0] != 0 ? c.broken : "no input leaves its bound");
  return (c.broken[0] == 0) == none ? 0 : 1;
}
