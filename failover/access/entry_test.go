package access

import "testing"

func TestResponseFlag(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]Entry{
		"-":   {Result: OK, HTTP: &HTTP{Status: 503}, Attempts: []Attempt{{Result: "503"}}},
		"URX": {Result: OK, HTTP: &HTTP{Status: 503}, Attempts: []Attempt{{Result: "not_executed"}, {Result: "503"}}},
		"UH":  {Result: NoEndpoint, HTTP: &HTTP{Status: 503}},
		"UF":  {Result: NoEndpoint, HTTP: &HTTP{Status: 503}, Attempts: []Attempt{{Result: "refused"}}},
		"UC":  {Result: UnknownOutcome, HTTP: &HTTP{Status: 503}},
		"UT":  {Result: Timeout, HTTP: &HTTP{Status: 504}},
		"UO":  {Result: Limit, HTTP: &HTTP{Status: 503}},
		"RL":  {Result: RateLimited, HTTP: &HTTP{Status: 429}},
		"DC":  {Result: ClientReset, HTTP: &HTTP{}},
		"DPE": {Result: Refused, HTTP: &HTTP{Status: 400}},
		"UPE": {Result: Error, HTTP: &HTTP{Status: 502}},
	} {
		if got := e.responseFlag(); got != want {
			t.Errorf("%+v: %s, want %s", e, got, want)
		}
	}
}
