package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// keep leaves the world up until ctx ends, and prints what can be tried in it.
func keep(ctx context.Context, w *world, v *view, exe string, restart <-chan struct{}) {
	v.plain(hints(w.topo, w.files, exe, os.Getpid()))
	for {
		select {
		case <-restart:
			if err := w.revive(ctx); err != nil && ctx.Err() == nil {
				v.say("%v", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// revive starts again what has died.
func (w *world) revive(ctx context.Context) error {
	var dead []target
	for _, t := range all(w.topo.zones()) {
		if !w.process(t.name()).running() {
			dead = append(dead, t)
			w.say("starting %s again", t.name())
		}
	}
	if len(dead) == 0 {
		w.say("every process is running")
		return nil
	}
	if err := w.start(ctx, dead); err != nil {
		return err
	}
	w.say("ready")
	return nil
}

// hints are commands that a user may paste into another terminal.
func hints(t topology, l layout, exe string, pid int) string {
	home, foreign := t.cluster(homeCluster), t.cluster(foreignCluster)
	h, k := home.zones[0], home.zones[1]
	kill := func(sig string, names ...string) string {
		var b strings.Builder
		b.WriteString("kill -" + sig)
		for _, name := range names {
			fmt.Fprintf(&b, " $(cat %s)", l.pid(name))
		}
		return b.String()
	}
	var b strings.Builder
	section := func(title string, lines ...string) {
		b.WriteString("\n" + title + "\n")
		for _, line := range lines {
			b.WriteString("  " + line + "\n")
		}
	}
	section("The world is up. Try in another terminal, and watch the loop go on answering:",
		fmt.Sprintf("while sleep 0.2; do curl -sS -m 15 http://%s/; done", h.app(roleMocka)))
	section("Break mockb of "+h.name+" (it stops listening), then of "+k.name+"; repair both:",
		kill("USR1", h.process(roleMockb)), kill("USR1", k.process(roleMockb)),
		kill("USR2", h.process(roleMockb), k.process(roleMockb)))
	revive := fmt.Sprintf("kill -USR1 %d  # starts again whatever was killed", pid)
	section("Kill an application of that zone, then everything of the other zone; then the other cluster:",
		kill("9", h.process(roleMockb)), kill("9", k.name+"*"), revive, kill("9", foreign.name+"*"), revive)
	section("Kill a proxy of "+h.name+", then the other one, and see where its callers are led; start both again:",
		kill("9", h.process(roleProxy1)), "cat "+l.routes(h), kill("9", h.process(roleProxy2)), "cat "+l.routes(h), revive)
	section("Make the peer silent (all proxies of "+foreign.name+"), and let it go on:",
		kill("STOP", foreign.name+"*-proxy-*"), kill("CONT", foreign.name+"*-proxy-*"))
	section("Look into a proxy of "+h.name+":",
		fmt.Sprintf("%s status --admin %s", exe, h.admin(roleProxy1)),
		fmt.Sprintf("%s endpoints mockb --admin %s", exe, h.admin(roleProxy1)),
		"tail -f "+l.access(h, roleProxy1),
		"ls "+l.root+" "+l.logs())
	fmt.Fprintf(&b, "\nCtrl-C here ends every process, and removes %s unless --dir named it.\n", l.root)
	return b.String()
}
