package balance

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// happen feeds a record one event after the other and returns what each is detected as: "." is nothing.
func happen(t *testing.T, th *thresholds, returned, request bool, events string) string {
	t.Helper()
	failures := map[string]Failure{
		"refused": LocalFailure, "peer": PeerFailure, "timeout": AnswerTimeout, "broken": BrokenAnswer,
	}
	var r record
	var out []string
	for event := range strings.FieldsSeq(events) {
		f, known := failures[event]
		switch status, err := strconv.Atoi(event); {
		case event == "connect":
			r.connected()
		case err == nil:
			if f = th.judge(status); f == NoFailure {
				r.answered()
			}
		case !known:
			t.Fatalf("no event %q", event)
		case request:
			f = th.ofRequest(f)
		}
		detected := NoFailure
		if f != NoFailure {
			detected = r.failed(f, th, returned, request)
		}
		if detected == NoFailure {
			out = append(out, ".")
		} else {
			out = append(out, detected.String())
		}
	}
	return strings.Join(out, " ")
}

// Each row is a rule, and what comes of the events by it.
func TestRecord(t *testing.T) {
	t.Parallel()
	const serverErrors, gateway = "consecutive_5xx", "consecutive_gateway_failure"
	th := func(change func(*thresholds)) thresholds {
		out := thresholds{consecutive: 3, serverErrors: 5}
		if change != nil {
			change(&out)
		}
		return out
	}
	usual := th(nil)
	gatewayOnly := th(func(o *thresholds) { o.serverErrors, o.gatewayErrors = 0, 2 })
	both := th(func(o *thresholds) { o.gatewayErrors = 2 })
	unsplit := th(func(o *thresholds) { o.unsplit = true })
	for name, rows := range map[string][]struct {
		th           thresholds
		events, want string
	}{
		"5xx in a row": {
			{usual, "500 501 503 599 500", ". . . . " + serverErrors},
			{usual, "500 500 500 500 200 500 500 500 500", ". . . . . . . . ."},
			{usual, "500 500 500 500 404 500 500 500 500", ". . . . . . . . ."},
			{usual, "600 600 600 600 600 0 -1 499", ". . . . . . . ."},
			{th(func(o *thresholds) { o.serverErrors = 0 }), "500 500 500 500 500 500 503", ". . . . . . ."},
		},
		"502, 503 and 504 in a row": {
			{gatewayOnly, "502 504", ". " + gateway},
			{gatewayOnly, "503 501 503 505 503", ". . . . ."},
			{gatewayOnly, "503 200 503 302 503", ". . . . ."},
			{usual, "503 503 503 503", ". . . ."}, // off
		},
		"500 ends the gateway errors and no others": {
			{both, "503 500 503 500 503", ". . . . " + serverErrors},
		},
		"a counter that was detected begins again, the other goes on": {
			{usual, "500 500 500 500 500 500 500 500 500 500", ". . . . " + serverErrors + " . . . . " + serverErrors},
			{both, "503 503 503 503 503", ". " + gateway + " . " + gateway + " " + serverErrors},
			{
				th(func(o *thresholds) { o.serverErrors, o.gatewayErrors = 2, 2 }), "503 503 503 503",
				". " + gateway + " . " + gateway,
			},
			{usual, "refused refused refused refused refused refused", ". . local . . local"},
			{usual, "timeout timeout timeout refused refused refused", ". . answer_timeout . . local"},
		},
		"local origin in a row": {
			{usual, "refused timeout broken", ". . broken_answer"},
			{usual, "peer peer peer", ". . peer"},
			{th(func(o *thresholds) { o.consecutive = 0 }), "refused refused refused timeout timeout timeout", ". . . . . ."},
		},
		"a connect ends failed connects and nothing else": {
			{usual, "refused refused connect refused refused", ". . . . ."},
			{usual, "connect timeout connect timeout connect timeout", ". . . . . answer_timeout"},
			{usual, "500 connect 500 connect 500 connect 500 connect 500", ". . . . . . . . " + serverErrors},
			{gatewayOnly, "503 connect 503", ". . " + gateway},
		},
		"an answer ends local-origin failures": {
			{usual, "timeout timeout 200 timeout timeout", ". . . . ."},
			{usual, "broken broken 500 broken broken", ". . . . ."},
			{usual, "refused refused 200 refused refused", ". . . . ."},
			{usual, "refused refused 503 refused refused", ". . . . ."},
		},
		"split: local-origin failures neither count as errors nor end them": {
			{usual, "500 500 timeout 500 refused 500 500", ". . . . . . " + serverErrors},
			{both, "503 timeout 503", ". . " + gateway},
			{gatewayOnly, "refused timeout", ". ."},
		},
		"not split: they are 503 and 504": {
			{unsplit, "refused timeout broken peer 500", ". . . . " + serverErrors},
			{unsplit, "refused timeout broken peer 200 500", ". . . . . ."},
			{unsplit, "refused connect refused connect refused connect refused connect refused", ". . . . . . . . " + serverErrors},
			{th(func(o *thresholds) { o.unsplit, o.gatewayErrors = true, 2 }), "refused timeout", ". " + gateway},
		},
		"listed statuses are the only errors": {
			{th(func(o *thresholds) { o.errorCodes = []uint32{429} }), "429 429 429 429 429", ". . . . " + serverErrors},
			{th(func(o *thresholds) { o.errorCodes = []uint32{429} }), "429 429 429 429 500 429 429 429 429", ". . . . . . . . ."},
			{th(func(o *thresholds) { o.errorCodes, o.gatewayErrors = []uint32{429, 503}, 2 }), "503 429 503 503", ". . . " + gateway},
		},
	} {
		for _, row := range rows {
			if got := happen(t, &row.th, false, true, row.events); got != row.want {
				t.Errorf("%s:\n %s\n got %s\nwant %s", name, row.events, got, row.want)
			}
		}
	}
}

// A connection of TCP has no other failures: it is always split, and what could not be ejected is ejected at its next failure.
func TestRecordOfTCP(t *testing.T) {
	t.Parallel()
	th := thresholds{consecutive: 3, serverErrors: 1, gatewayErrors: 1, unsplit: true}
	if got := happen(t, &th, false, false, "refused connect refused refused refused refused"); got != ". . . . local local" {
		t.Error(got)
	}
}

// One that has only just returned has no credit, until it has answered.
func TestRecordOfReturned(t *testing.T) {
	t.Parallel()
	th := thresholds{consecutive: 3, serverErrors: 5, gatewayErrors: 3}
	for events, want := range map[string]string{
		"refused":          "local",
		"timeout":          "answer_timeout",
		"500":              "consecutive_5xx",
		"503":              "consecutive_gateway_failure",
		"connect broken":   ". broken_answer",
		"200 500 503":      ". . .",
		"404 timeout":      ". .",
		"200 refused":      ". local", // as a connection of TCP
		"200 500 connect":  ". . .",
		"200 500 200 503":  ". . . .",
		"500 500":          "consecutive_5xx consecutive_5xx",
		"200 503 503 503":  ". . . consecutive_gateway_failure",
		"connect refused":  ". local",
		"200 timeout peer": ". . peer",
	} {
		if got := happen(t, &th, true, true, events); got != want {
			t.Errorf("%s: got %s, want %s", events, got, want)
		}
	}
	off := thresholds{}
	if got := happen(t, &off, true, true, "refused timeout 500 503"); got != ". . . ." {
		t.Errorf("what is off detects %s", got)
	}
}

func TestFailing(t *testing.T) {
	t.Parallel()
	same := func(n int, w window) []window { return slices.Repeat([]window{w}, n) }
	good := window{answers: failurePercentageVolume}
	for name, tt := range map[string]struct {
		windows []window
		percent uint32
		want    []int
	}{
		"at the threshold":        {append(same(4, good), window{100, 85}), 85, []int{4}},
		"below":                   {append(same(4, good), window{100, 84}), 85, nil},
		"a third of 99":           {append(same(4, good), window{99, 33}), 33, []int{4}},
		"29 of 100":               {append(same(4, good), window{100, 29}), 29, []int{4}},
		"too few answers":         {append(same(5, good), window{failurePercentageVolume - 1, 49}), 85, nil},
		"too few with enough":     {append(same(3, good), window{100, 100}, window{1, 0}), 85, nil},
		"all of them":             {same(5, window{50, 50}), 85, []int{0, 1, 2, 3, 4}},
		"the worst first":         {append(same(3, good), window{100, 90}, window{200, 200}, window{100, 95}), 85, []int{4, 5, 3}},
		"off":                     {same(5, window{50, 50}), 0, nil},
		"idle ones do not matter": {append(same(20, window{}), window{50, 50}), 85, nil},
	} {
		if got := failing(tt.windows, tt.percent); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
