package terminal_test

import (
	"testing"

	"github.com/eastway/eastway/internal/terminal"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]terminal.Format{"table": terminal.AsTable, "json": terminal.AsJSON, "yaml": "", "": "", "JSON": ""} {
		var f terminal.Format
		if err := f.Set(text); f != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, f, err)
		}
	}
}
