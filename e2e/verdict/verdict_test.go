package verdict

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	out := []Outage{{Entry: 1, From: now, To: now.Add(time.Second)}}
	during := Call{Entry: 1, Start: now.Add(-time.Second), End: now.Add(time.Millisecond)}
	for name, test := range map[string]struct {
		call     Call
		executed int
		want     Verdict
	}{
		"a POST executed twice":                      {Call{Post: true, Status: 503, Reason: "unknown-outcome"}, 2, Twice},
		"… through a proxy that was killed":          {Call{Post: true, Entry: 1, Start: during.Start, End: during.End}, 2, Twice},
		"a claim that does not hold":                 {Call{Post: true, Status: 503, Reason: "not-executed"}, 1, WrongClaim},
		"a GET too":                                  {Call{Status: 503, Reason: "no-endpoint"}, 1, WrongClaim},
		"a GET through a proxy that was killed":      {during, 0, EntryKilled},
		"… through another":                          {Call{Entry: 0, Start: during.Start, End: during.End}, 0, Failed},
		"… before":                                   {Call{Entry: 1, Start: now.Add(-2 * time.Second), End: now.Add(-time.Second)}, 0, Failed},
		"… after":                                    {Call{Entry: 1, Start: now.Add(2 * time.Second), End: now.Add(3 * time.Second)}, 0, Failed},
		"a POST that could have gone elsewhere":      {Call{Post: true, Status: 503, Reason: "not-executed"}, 0, Lost},
		"an answer that breaks off":                  {Call{Status: 200, Err: "unexpected EOF"}, 1, BrokenOff},
		"a GET answered by a broken application":     {Call{Status: 503, Broken: true}, 1, Failed},
		"a POST answered by a broken application":    {Call{Post: true, Status: 503, Broken: true}, 1, AnsweredError},
		"a POST with unknown outcome":                {Call{Post: true, Status: 503, Reason: "unknown-outcome"}, 1, Unknown},
		"… that was not executed":                    {Call{Post: true, Status: 503, Reason: "unknown-outcome"}, 0, UnknownNot},
		"a GET with unknown outcome":                 {Call{Status: 503, Reason: "unknown-outcome"}, 1, Failed},
		"a POST without an answer in time":           {Call{Post: true, Status: 504, Reason: "timeout"}, 1, TimedOut},
		"a POST whose connection ended":              {Call{Post: true, Err: "EOF"}, 0, Failed},
		"a POST answered by something else than 200": {Call{Post: true, Status: 400}, 0, Failed},
	} {
		if got := test.call.Judge(test.executed, out); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
