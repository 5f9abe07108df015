/* Lower bounds on a goal over the graph's variables, by Lagrange multipliers.
 *
 * Every unit v gets a multiplier s_v for its equation acc_v = b_v + sum w x. For all inputs inside the bounds in force,
 *
 *   goal >= D(s) = goal's own part + sum over units of min over acc in [l,u] of (m_v * f_v(acc) - s_v * acc)
 *                  + sum over units of s_v * b_v + sum over inputs and free units of min(m * lo, m * hi),
 *   m_v = coefficient of x_v in the goal + sum over later units of s * w
 *
 * An identity unit's multiplier is always m_v: its equation is substituted. (Lemma R1: the goal plus sum of s_v * (b_v + sum w x - acc_v), which is the goal, is bounded term by term.) True for any
 * s; the best s gives the linear relaxation by the convex hulls of all f_v, with every split taken into account, so one
 * vector of integers is the whole evidence of a leaf. Doubles choose s; qv_dual_exact decides in integers. */
#ifndef QV_ANALYSIS_ROBUST_DUAL_H
#define QV_ANALYSIS_ROBUST_DUAL_H

#include "analysis/robust_joint.h"

typedef struct {
  int64_t x, y;
} qv_point;

/* Convex hull of a set of points that contains the graph of a function on `acc`, ascending in x. */
typedef struct {
  bool valid;
  qv_itv acc;
  uint32_t n_lo, n_up, cap;
  qv_point *lo, *up;
  double *rise_lo, *rise_up; /* slope of the edge behind each point but the last */
  double mid_lo, mid_up;     /* slopes of the edges over the middle of acc       */
} qv_hull;

/* sum of c[i] * x_var[i] - d */
typedef struct {
  uint32_t n;
  const uint32_t *var;
  const int64_t *c;
  int64_t d;
} qv_goal_part;

/* What is bounded from below.
 * SUM:  sum over the parts of L_k * part_k, L_k >= 0 searched together with s. Where each part is d - sum c*o of one inequality
 *       of a violation, a positive bound excludes the violation: all parts would be <= 0.
 * UNIT: sign * acc of unit y.
 * PAIR: L_0*(acc_y - A) - L_1*(acc_j - B), the smallest over the points (B,A) of hull; L >= 0. Points: values t0..t1 of
 *       a violation "f_y(acc_y) <= t and f_j(acc_j) >= t + gap", i.e. acc_y <= A_t and acc_j >= B_t. A positive bound
 *       excludes the violation (Lemma R2), the last rounding and saturation being exact. */
typedef enum { QV_GOAL_SUM, QV_GOAL_UNIT, QV_GOAL_PAIR } qv_goal_kind;

typedef struct {
  qv_goal_kind kind;
  uint32_t n_part;
  const qv_goal_part *part;
  uint32_t y, j;
  int sign;
  int64_t gap; /* PAIR: the violation is x_j >= x_y + gap */
  int64_t t0, t1;
} qv_goal;

/* Number of root multipliers L. */
static inline uint32_t qv_goal_roots(const qv_goal *g) { return g->kind == QV_GOAL_SUM ? g->n_part : g->kind == QV_GOAL_PAIR ? 2 : 0; }

typedef struct {
  const qv_graph *g;
  int64_t *lo, *hi;    /* [n] bounds in force on the variables   */
  qv_itv *acc;         /* [n] and on the accumulators of units   */
  bool *flat;          /* [n] f is constant on acc               */
  double *s;           /* [n] multipliers of the search          */
  double *root_s;      /* [qv_goal_roots] L. SUM: the largest is 1; PAIR: they add up to 2 */
  double *mean;        /* [n] accumulators of the averaged relaxed solution; of inputs their averaged values */
  double mean_root[2]; /* PAIR: averaged acc_y, acc_j         */
  double *m;           /* [n] m_v of the last evaluation         */
  float *at;           /* [n] variables of the last relaxed solution; inputs: a corner of the box */
  /* private */
  float *coef, *flo, *fhi;
  double *x, *grad, *move, *best;
  double *slope[2]; /* [n] of lines below and above a function: s = m * slope */
  double *root_best, *root_move, *root_span, *root_at; /* [cap_root]; of SUM goals: width of each part, value at the last solution */
  uint32_t cap_root;
  uint32_t *list;                /* [n_list] units on which the goal depends, descending */
  uint32_t n_list, in_lo, in_hi; /* inputs: in_lo <= v < in_hi */
  bool *mark;                    /* [n] scratch */
  double work;                   /* multiply-adds of all searches so far */
  double weight;                 /* exact: bound on all coefficients so far */
  double deadline;               /* climbing and refreshing stop there; 0 = none */
  const qv_joint *joint; /* made for bounds that contain those in force, or NULL */
  uint64_t joint_most;   /* groups with at most so many points count together */
  bool *live;            /* [joint->n] accumulators in force are those that the points were made for: else the units count alone */
  qv_joint_room room;
  qv_arena joint_arena;
  qv_hull *hull, root;
  int64_t root_t0, root_t1; /* that `root` was made for */
  int64_t *icoef;
  qv_point *pt, *half; /* scratch of hulls */
  size_t cap_pt, cap_half;
  qv_arena arena;
} qv_dual;

/* Errors: QV_E_NOMEM. */
QV_NODISCARD qv_status qv_dual_new(qv_dual **out, const qv_graph *g, qv_err *err);
void qv_dual_free(qv_dual *d);

/* Take minima of these groups together from now on (NULL: of none); *j has to outlive that. joint_most becomes j->limit. Errors:
 * QV_E_NOMEM. Before the next refresh. */
QV_NODISCARD qv_status qv_dual_join(qv_dual *d, const qv_joint *j, qv_err *err);

/* Bounds in force have been changed for variables from..n-1: refresh what is derived from them. Errors: QV_E_NOMEM; QV_E_LIMIT at
 * d->deadline: what is derived is then of no use. */
QV_NODISCARD qv_status qv_dual_refresh(qv_dual *d, uint32_t from, qv_err *err);

/* The units that matter to a goal, and room for its root multipliers. Errors: QV_E_NOMEM. Once before the other functions are used
 * with this goal. */
QV_NODISCARD qv_status qv_dual_begin(qv_dual *d, const qv_goal *goal, qv_err *err);

/* Set s to the supporting lines at the middles of the intervals, L to what is best with them. */
void qv_dual_default(qv_dual *d, const qv_goal *goal);

/* Improve s (the best one found stays in d->s and d->root_s); stops when D exceeds `enough`. Returns D of the best, in doubles.
 * d->mean gets the averaged relaxed solution. Pre: qv_dual_goal. */
double qv_dual_climb(qv_dual *d, const qv_goal *goal, uint32_t steps, double enough);

/* The same search over the slopes of lines, s_v = m_v * slope_v, from the default on, L kept: where a unit's line moves those of the
 * units before it move along, which suits deep nets. */
double qv_dual_slopes(qv_dual *d, const qv_goal *goal, uint32_t steps, double enough);

/* Prepare a PAIR goal's points from t0,t1 and the bounds in force; nothing to do for the others. False: no memory. */
bool qv_dual_goal(qv_dual *d, const qv_goal *goal);

/* Values of t that matter for the pair (y,j) under the bounds in force; false: none, the violation is impossible. */
bool qv_dual_levels(const qv_dual *d, const qv_goal *goal, int64_t *t0, int64_t *t1);
/* Can (y,j) be a PAIR goal: both increasing, thresholds known? */
bool qv_dual_can_pair(const qv_graph *g, uint32_t y, uint32_t j);
/* A_t and B_t. */
int64_t qv_dual_a(const qv_dual *d, uint32_t y, int64_t t);
int64_t qv_dual_b(const qv_dual *d, uint32_t j, int64_t t);

/* Where a bound loses: the goal's value at the execution x (values of all variables) minus D(s), shared out. All >= 0 up to
 * rounding: `input` is what the inputs themselves can move the linear part, `kink` what units lose that may be clamped or not,
 * `noise` all others (rounding). */
typedef struct {
  double input, kink, noise;
} qv_losses;
qv_losses qv_dual_losses(qv_dual *d, const qv_goal *goal, const int64_t *x);

/* Round s to integers at scale 2^*scale. is: [n], 0 but for functions; is_root: [qv_goal_roots]. */
void qv_dual_round(const qv_dual *d, const qv_goal *goal, int32_t *is, int32_t *is_root, int *scale);

/* *bound = D at scale 2^scale, exactly, all in integers; false (nothing claimed) if a number could leave its width. */
bool qv_dual_exact(qv_i128 *bound, qv_dual *d, const qv_goal *goal, const int32_t *is, const int32_t *is_root, int scale);

#endif
