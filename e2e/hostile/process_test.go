package hostile

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// programVariable names the program that this process is, instead of the tests, with what it attacks after a colon.
const programVariable = "EASTWAY_HOSTILE"

// runProgram is the process of one of attackers. It prints a line when it is ready, ends when its input does, and prints what it counted.
func runProgram(what string) error {
	name, to, _ := strings.Cut(what, ":")
	do := attackers()[name]
	if do == nil {
		return fmt.Errorf("%s: there is no program %q", programVariable, name)
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // this is its main
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	n := do(ctx, to, func() { fmt.Println("ready") })
	fmt.Println(n)
	return nil
}

// run starts one of attackers in a process of its own, so that the kernel divides the cores between it and the victim, as between all
// programs, and what the victim's process takes is not the attacker's. It returns when that is ready, and a func that ends it.
func (w *world) run(ctx context.Context, t *testing.T, name, to string) (end func()) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), os.Args[0]) // it ends by its input
	cmd.Env, cmd.Stderr = append(os.Environ(), programVariable+"="+name+":"+to), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	printed := bufio.NewReader(out)
	end = sync.OnceFunc(func() {
		_ = in.Close()
		text, _ := io.ReadAll(printed)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program for %s: %v", name, err)
			return
		}
		w.outside += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if w.counted, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
			t.Error(err)
		}
		t.Logf("%s: %d", name, w.counted)
	})
	t.Cleanup(end)
	if line, err := printed.ReadString('\n'); err != nil {
		t.Fatalf("the program for %s printed %q: %v", name, line, err)
	}
	return end
}

// bystand takes so many cores, as a program does that has nothing to do with the victim.
func bystand(ctx context.Context, cores string, ready func()) int64 {
	busy, err := strconv.ParseFloat(cores, 64)
	if err != nil {
		panic(err)
	}
	ready()
	began := time.Now()
	burn(ctx, busy)
	return time.Since(began).Milliseconds()
}
