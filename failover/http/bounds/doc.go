// Package bounds has what bounds a request and its repetitions: the budget of a
// service port's retries, the time before one and of all that were not executed, and a clock for
// the times that a policy allows.
package bounds
