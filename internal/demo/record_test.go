package demo

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eastway/eastway/internal/bubble"
)

func TestParseChain(t *testing.T) {
	t.Parallel()
	const a = "-> mocka(version: cn-hangzhou-h, ip: 127.80.1.11)"
	const b = "-> mockb(version: ap-northeast-1a, ip: 127.81.1.12)"
	const c = "-> mockc(version: ap-northeast-1a, ip: 127.81.1.13)"
	for text, whole := range map[string]bool{
		a + b + c + "\n": true,
		a + b:            false,
		"":               false,
		a + c + b:        false,
		a + b + c + c:    false,
		a + b + c[:20]:   false,
	} {
		hops, got := parseChain(text)
		if got != whole {
			t.Errorf("%q: %v", text, got)
		}
		if whole && (hops[1] != hop{"mockb", "ap-northeast-1a", "127.81.1.12"}) {
			t.Errorf("mockb: %+v", hops[1])
		}
	}
}

func TestFailedOn(t *testing.T) {
	t.Parallel()
	for failure, want := range map[string]string{
		"": "",
		"call http://mocka/ at - from -: no route to mocka":                 "",
		"call http://mocka/ at 127.80.1.21:8000 from -: connection refused": "127.80.1.21:8000",
		"call http://mocka/ at 127.80.1.21:8000 from 127.80.1.10:1: status 502: " +
			"mocka(h): call http://mockb/ at 127.80.1.32:8000 from 127.80.1.11:2: EOF": "127.80.1.32:8000",
	} {
		if got := failedOn(failure); got != want {
			t.Errorf("%q: got %q, want %q", failure, got, want)
		}
	}
}

func FuzzParseChain(f *testing.F) {
	f.Add("-> mocka(version: h, ip: 1.2.3.4)-> mockb(version: h, ip: 1.2.3.4)-> mockc(version: h, ip: 1.2.3.4)\n")
	f.Add("-> mocka(version: , ip: )")
	f.Fuzz(func(t *testing.T, text string) {
		hops, whole := parseChain(text)
		if whole && len(hops) != len(chain()) {
			t.Errorf("%q: %d hops", text, len(hops))
		}
		for _, h := range hops {
			if strings.ContainsAny(h.zone+h.ip, " \n,()") {
				t.Errorf("%q: %+v", text, h)
			}
		}
	})
}

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		early := rec.begin("h", "early", "GET")
		bubble.Pass(time.Second)
		got := make(chan error, 1)
		go func() {
			got <- rec.await(t.Context(), func(fresh []record) bool {
				for _, r := range fresh {
					if r.id == "early" {
						t.Error("a request that began before is no evidence")
					}
				}
				return len(fresh) == 2
			})
		}()
		synctest.Wait()
		rec.end(early)
		rec.end(rec.begin("h", "1", "GET"))
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("returned too early: %v", err)
		default:
		}
		rec.end(rec.begin("h", "2", "GET"))
		if err := <-got; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := rec.await(ctx, func([]record) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRecordsBelongToThePhaseInWhichTheyBegan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		r := rec.begin("h", "1", "GET")
		rec.setPhase(3)
		rec.setCrossing(true)
		bubble.Pass(time.Second)
		rec.end(r)
		mark := time.Now()
		bubble.Pass(time.Second)
		rec.end(rec.begin("h", "2", "POST"))
		all := rec.ended.All()
		if all[0].phase != 0 || all[0].crossing || all[1].phase != 3 || !all[1].crossing {
			t.Errorf("got %+v", all)
		}
		if since := rec.since(mark); len(since) != 2 {
			t.Errorf("since its very moment: %d records", len(since))
		}
		if since := rec.since(mark.Add(1)); len(since) != 1 || since[0].id != "2" {
			t.Errorf("got %+v", since)
		}
	})
}
