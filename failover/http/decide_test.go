package http

import "testing"

func TestDecide(t *testing.T) {
	t.Parallel()
	usual := history{method: "GET", tries: 1, all: 1, replayable: true, others: true, budget: func() bool { return true }}
	with := func(change func(*history)) history {
		h := usual
		change(&h)
		return h
	}
	post := with(func(h *history) { h.method = "POST" })
	for name, c := range map[string]struct {
		outcome outcome
		history history
		want    verdict
	}{
		"an answer":                         {answered, usual, pass},
		"not executed":                      {notExecuted, usual, again},
		"not executed, POST":                {notExecuted, post, again},
		"not executed, at the limit":        {notExecuted, with(func(h *history) { h.all = maxSafeTries }), pass},
		"not executed, without budget":      {notExecuted, with(func(h *history) { h.budget = func() bool { return false } }), again},
		"not executed, the body is gone":    {notExecuted, with(func(h *history) { h.replayable = false }), pass},
		"unknown":                           {unknown, usual, again},
		"unknown, POST":                     {unknown, post, pass},
		"unknown, a method that is unknown": {unknown, with(func(h *history) { h.method = "REPORT" }), pass},
		"unknown, get in lower case":        {unknown, with(func(h *history) { h.method = "get" }), pass},
		"unknown, at the limit":             {unknown, with(func(h *history) { h.tries = maxTries }), pass},
		"unknown, without budget":           {unknown, with(func(h *history) { h.budget = func() bool { return false } }), pass},
		"unknown, an interim answer passed": {unknown, with(func(h *history) { h.begun = true }), pass},
		"unknown, the body is gone":         {unknown, with(func(h *history) { h.replayable = false }), pass},
		"unknown, only this endpoint":       {unknown, with(func(h *history) { h.others = false }), again},
		"503":                               {unavailable, usual, again},
		"503, POST":                         {unavailable, post, pass},
		"503, only this endpoint":           {unavailable, with(func(h *history) { h.others = false }), pass},
		"503, without budget":               {unavailable, with(func(h *history) { h.budget = func() bool { return false } }), pass},
		"nothing to try":                    {noCandidate, usual, pass},
		"the client is gone":                {clientGone, usual, pass},
	} {
		if got := decide(c.outcome, c.history); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestIdempotent(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]bool{
		"GET": true, "HEAD": true, "OPTIONS": true, "PUT": true, "DELETE": true,
		"POST": false, "PATCH": false, "TRACE": false, "CONNECT": false, "": false, "PROPFIND": false,
	} {
		if got := idempotent(method); got != want {
			t.Errorf("%q: %v", method, got)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]outcome{
		200: answered, 404: answered, 429: answered, 500: answered, 501: answered, 505: answered,
		502: unavailable, 503: unavailable, 504: unavailable,
	} {
		if got := judge(status); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
}
