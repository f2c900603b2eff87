package check

import (
	"context"
	"fmt"
	"time"
)

// Level of a result.
type Level string

// Levels. A warning is something that works now, and may not later or not everywhere. What was skipped could not be checked.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Failed  Level = "failed"
	Skipped Level = "skipped"
)

// limit bounds one check.
const limit = time.Minute

// Check is one thing to look at.
type Check struct {
	// Section that it is printed under, and its Name there.
	Section, Name string
	// Hint is what to do about a failure or warning without a hint of its own.
	Hint string
	// Vital: if it fails, the checks end.
	Vital bool
	Run   func(ctx context.Context) []Result
}

// Result is what a check found; a check has one or more.
type Result struct {
	Section string `json:"section"`
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Run runs the checks one after the other and reports each result. It returns the number of results per level.
func Run(ctx context.Context, checks []Check, report func(Result)) map[Level]int {
	counts := map[Level]int{}
	skipped := map[string]bool{} // why
	for i := range checks {
		vitalFailed := false
		for _, r := range checks[i].results(ctx) {
			counts[r.Level]++
			vitalFailed = vitalFailed || checks[i].Vital && r.Level == Failed
			if r.Level == Skipped {
				// One missing right affects many checks.
				why := r.Message
				if skipped[why] {
					r.Message = "as above"
				}
				skipped[why] = true
				r.Message = r.Check + ": " + r.Message
			}
			report(r)
		}
		if vitalFailed || ctx.Err() != nil {
			break
		}
	}
	return counts
}

func (c *Check) results(ctx context.Context) []Result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	results := c.Run(ctx)
	for i := range results {
		r := &results[i]
		r.Section, r.Check = c.Section, c.Name
		switch problem := r.Level == Failed || r.Level == Warning; {
		case !problem:
			r.Hint = ""
		case r.Hint == "":
			r.Hint = c.Hint
		}
	}
	return results
}

func ok(format string, args ...any) Result {
	return Result{Level: OK, Message: fmt.Sprintf(format, args...)}
}

func warn(format string, args ...any) Result {
	return Result{Level: Warning, Message: fmt.Sprintf(format, args...)}
}

func fail(format string, args ...any) Result {
	return Result{Level: Failed, Message: fmt.Sprintf(format, args...)}
}

func skip(format string, args ...any) Result {
	return Result{Level: Skipped, Message: fmt.Sprintf(format, args...)}
}

// hint adds what to do.
func (r Result) hint(format string, args ...any) Result {
	r.Hint = fmt.Sprintf(format, args...)
	return r
}

// one is a list of one.
func one(r Result) []Result { return []Result{r} }
