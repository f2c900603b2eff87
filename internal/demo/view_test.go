package demo

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

func TestViewPlain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		v := &view{out: &out, begun: time.Now()}
		bubble.Pass(1500 * time.Millisecond)
		v.follow(t.Context(), func() []string { return []string{"status"} }) // returns: there is no terminal
		v.say("one\ntwo %d", 2)
		v.plain("table\n")
		if got, want := out.String(), "   1.5s  one\n         two 2\ntable\n"; got != want {
			t.Errorf("got %q", got)
		}
	})
}

func TestViewTerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		v := &view{out: &out, begun: time.Now(), width: func() int { return 10 }}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			v.follow(ctx, func() []string { return []string{"a line that is cut", "b"} })
		}()
		bubble.Pass(2*redrawEvery + 1)
		v.say("event")
		cancel()
		<-ended
		v.plain("table\n")
		const block = "a line th\nb\n"
		const erase = "\x1b[2A\r\x1b[J"
		if got, want := out.String(), block+erase+block+erase+"   0.5s  event\n"+block+erase+"table\n"; got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestShares(t *testing.T) {
	t.Parallel()
	topo := newTopology(80)
	for want, counts := range map[string]map[string]int{
		"-":                    {},
		"h 100%":               {"cn-hangzhou-h": 3},
		"h 50%  1b 50%":        {"cn-hangzhou-h": 1, "ap-northeast-1b": 1},
		"k >99%  1a <1%":       {"cn-hangzhou-k": 999, "ap-northeast-1a": 1},
		"h 33%  k 67%":         {"cn-hangzhou-h": 1, "cn-hangzhou-k": 2},
		"h 1%  k 99%":          {"cn-hangzhou-h": 1, "cn-hangzhou-k": 99},
		"1a 100%":              {"ap-northeast-1a": 7, "cn-hangzhou-h": 0},
		"h 25%  k 25%  1a 50%": {"cn-hangzhou-h": 1, "cn-hangzhou-k": 1, "ap-northeast-1a": 2},
	} {
		if got := shares(topo, counts); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
