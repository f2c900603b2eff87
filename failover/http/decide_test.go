package http

import (
	"net/http"
	"testing"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/failover/balance"
)

// retries is what a policy with these means.
func retries(r *v1alpha1.Retries) *balance.Retries {
	return &balance.RequestsOf(&v1alpha1.TrafficPolicySpec{Retries: r}).Retries
}

func TestDecide(t *testing.T) {
	t.Parallel()
	usual := history{
		retries: retries(nil), method: "GET", tries: 1, all: 1, replayable: true, others: true, budget: func() bool { return true },
	}
	with := func(change func(*history)) history {
		h := usual
		change(&h)
		return h
	}
	by := func(method string, r v1alpha1.Retries) history {
		return with(func(h *history) { h.method, h.retries = method, retries(&r) })
	}
	post := with(func(h *history) { h.method = "POST" })
	zero, one := uint32(0), uint32(1)
	once := retries(&v1alpha1.Retries{Attempts: &one})
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
		"not executed, late":                {notExecuted, with(func(h *history) { h.late = true }), again},
		"not executed, late, none left":     {notExecuted, with(func(h *history) { h.late, h.others = true, false }), pass},
		"not executed, none left":           {notExecuted, with(func(h *history) { h.others = false }), again},
		"not executed, the body is gone":    {notExecuted, with(func(h *history) { h.replayable = false }), pass},
		"not executed, no attempts":         {notExecuted, by("POST", v1alpha1.Retries{Attempts: &zero}), again},
		"not executed, on 503":              {notExecuted, by("POST", v1alpha1.Retries{RetryOn: "503"}), again},
		"unknown":                           {unknown, usual, again},
		"unknown, POST":                     {unknown, post, pass},
		"unknown, POST that is listed":      {unknown, by("POST", v1alpha1.Retries{Methods: []string{"POST"}}), again},
		"unknown, GET that is not":          {unknown, by("GET", v1alpha1.Retries{Methods: []string{"POST"}}), pass},
		"unknown, POST on everything":       {unknown, by("POST", v1alpha1.Retries{Attempts: &one, RetryOn: "5xx,reset,unavailable"}), pass},
		"unknown, no attempts":              {unknown, by("GET", v1alpha1.Retries{Attempts: &zero}), pass},
		"unknown, on 503":                   {unknown, by("GET", v1alpha1.Retries{RetryOn: "503"}), pass},
		"unknown, on reset":                 {unknown, by("GET", v1alpha1.Retries{RetryOn: "reset"}), again},
		"unknown, a method that is unknown": {unknown, with(func(h *history) { h.method = "REPORT" }), pass},
		"unknown, get in lower case":        {unknown, with(func(h *history) { h.method = "get" }), pass},
		"unknown, at the limit":             {unknown, with(func(h *history) { h.tries = 3 }), pass},
		"unknown, without budget":           {unknown, with(func(h *history) { h.budget = func() bool { return false } }), pass},
		"unknown, an interim answer passed": {unknown, with(func(h *history) { h.begun = true }), pass},
		"unknown, the body is gone":         {unknown, with(func(h *history) { h.replayable = false }), pass},
		"unknown, only this endpoint":       {unknown, with(func(h *history) { h.others = false }), again},
		"503":                               {unavailable, usual, again},
		"503, POST":                         {unavailable, post, pass},
		"503, POST that is listed":          {unavailable, by("POST", v1alpha1.Retries{Methods: []string{"POST"}}), again},
		"503, no attempts":                  {unavailable, by("GET", v1alpha1.Retries{Attempts: &zero}), pass},
		"503, only this endpoint":           {unavailable, with(func(h *history) { h.others = false }), pass},
		"503, only this endpoint, attempts": {unavailable, with(func(h *history) { h.others, h.retries = false, once }), again},
		"503, at the policy's limit":        {unavailable, with(func(h *history) { h.tries, h.retries = 2, once }), pass},
		"503, without budget":               {unavailable, with(func(h *history) { h.budget = func() bool { return false } }), pass},
		"503, refused":                      {unavailable, with(func(h *history) { h.refused = true }), pass},
		"not executed, refused":             {notExecuted, with(func(h *history) { h.refused = true }), again},
		"nothing to try":                    {noCandidate, usual, pass},
		"the client is gone":                {clientGone, usual, pass},
	} {
		if got := decide(c.outcome, c.history); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		on     string
		status int
		grpc   string
		want   string // the reason to repeat it; empty: there is none
	}{
		{"", 200, "", ""},
		{"", 404, "", ""},
		{"", 409, "", ""},
		{"", 429, "", ""},
		{"", 500, "", ""},
		{"", 501, "", ""},
		{"", 505, "", ""},
		{"", 502, "", "502"},
		{"", 503, "", "503"},
		{"", 504, "", "504"},
		{"", 200, "14", ""},
		{"5xx", 500, "", "500"},
		{"5xx", 599, "", "599"},
		{"5xx", 499, "", ""},
		{"5xx", 600, "", ""},
		{"reset", 503, "", ""},
		{"reset,429", 429, "", "429"},
		{"retriable-4xx", 409, "", "409"},
		{"retriable-4xx", 404, "", ""},
		{"unavailable", 200, "14", "grpc-14"},
		{"unavailable", 200, "13", ""},
		{"unavailable", 200, "", ""},
		{"unavailable", 503, "14", ""},
		{"internal,cancelled", 200, "1", "grpc-1"},
		{"resource-exhausted", 200, "8", "grpc-8"},
		{"deadline-exceeded", 200, "4", "grpc-4"},
	} {
		resp := &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {"application/grpc"}}}
		if c.grpc != "" {
			resp.Header.Set("Grpc-Status", c.grpc)
		}
		o, reason := judge(retries(&v1alpha1.Retries{RetryOn: c.on}), resp)
		if reason != c.want || (o == unavailable) != (c.want != "") {
			t.Errorf("%q, %d, gRPC %q: %v for %q, want %q", c.on, c.status, c.grpc, o, reason, c.want)
		}
	}
}
