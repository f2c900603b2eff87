// Package verdict judges requests that were sent through faults, by their answers and by how often they were executed.
package verdict

import (
	"net/http"
	"slices"
	"time"
)

// Call is a request that was not answered 200.
type Call struct {
	// Post is one that may be executed once at most; without it, one that may be repeated.
	Post bool
	// Entry is the number of the caller's proxy.
	Entry      int
	Start, End time.Time
	// Status is 0 without the head of an answer; Reason is why Eastway answered itself; Broken: the application answered it.
	Status int
	Reason string
	Broken bool
	Err    string
}

// Outage is a time during which a proxy of callers was killed: what they have under way fails.
type Outage struct {
	Entry    int
	From, To time.Time
}

// Verdict is what became of a call.
type Verdict string

// Verdicts on requests that need not have been answered 200.
const (
	EntryKilled   Verdict = "ended with the killed proxy of its caller"
	BrokenOff     Verdict = "answer began and broke off"
	AnsweredError Verdict = "answered 503 by the application, and passed on"
	Unknown       Verdict = "503 unknown-outcome, executed once"
	UnknownNot    Verdict = "503 unknown-outcome, not executed"
	TimedOut      Verdict = "504 timeout of one try"
)

// Violations.
const (
	Twice      Verdict = "executed twice"
	Vanished   Verdict = "answered 200 and not executed"
	WrongClaim Verdict = "answered not executed, and was executed"
	Lost       Verdict = "not executed, with an endpoint to be reached"
	Failed     Verdict = "failed"
)

// Violation of what is promised.
func (v Verdict) Violation() bool {
	return slices.Contains([]Verdict{Twice, Vanished, WrongClaim, Lost, Failed}, v)
}

// Judge the call; executed is how often it was.
func (c *Call) Judge(executed int, outages []Outage) Verdict {
	switch {
	case c.Post && executed > 1:
		return Twice
	case c.notExecuted() && executed > 0:
		return WrongClaim
	case slices.ContainsFunc(outages, c.meets):
		return EntryKilled
	case c.notExecuted():
		return Lost
	case c.Status == http.StatusOK && c.Err != "":
		return BrokenOff
	case !c.Post:
		return Failed
	case c.Broken:
		return AnsweredError
	case c.Reason == "unknown-outcome" && executed == 1:
		return Unknown
	case c.Reason == "unknown-outcome":
		return UnknownNot
	case c.Reason == "timeout":
		return TimedOut
	}
	return Failed
}

// notExecuted is what Eastway says of requests that reached no endpoint.
func (c *Call) notExecuted() bool {
	return c.Reason == "no-endpoint" || c.Reason == "not-executed" || c.Reason == "overflow"
}

func (c *Call) meets(o Outage) bool {
	return c.Entry == o.Entry && c.End.After(o.From) && c.Start.Before(o.To)
}
