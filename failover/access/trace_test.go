package access

import "testing"

func TestTraceID(t *testing.T) {
	t.Parallel()
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for traceparent, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01":  id,
		"cc-" + id + "-00f067aa0ba902b7-01-": id, // of a later version
		"":                                   "",
		id:                                   "",
		"00-" + id:                           "",
		"00-" + id + "x-00f067aa0ba902b7":    "",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01": "",
	} {
		if got := TraceID(traceparent); got != want {
			t.Errorf("%q: %q, want %q", traceparent, got, want)
		}
	}
}
