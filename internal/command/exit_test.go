package command

import (
	"errors"
	"fmt"
	"testing"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	base := errors.New("base")
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"none", nil, 0},
		{"cobra's own", base, 2},
		{"a command's", Started(base), 1},
		{"a command's, chosen", Started(fmt.Errorf("x: %w", WithExit(NotFound, base))), 4},
		{"a command's, usage", Started(Usagef("x: %w", base)), 2},
		{"nothing to choose for", WithExit(Unreachable, nil), 0},
		{"began and ended well", Started(nil), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := ExitCode(tt.err); got != tt.want {
				t.Errorf("ExitCode(%v) = %d, want %d", tt.err, got, tt.want)
			}
			if tt.err != nil && !errors.Is(tt.err, base) {
				t.Errorf("%v does not wrap its cause", tt.err)
			}
		})
	}
}
