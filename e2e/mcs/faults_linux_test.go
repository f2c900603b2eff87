package mcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
)

// kubectl as a user would call it, with that on its standard input. The output has its errors as well.
func (s *spec) kubectl(ctx context.Context, c *cluster, stdin string, args ...string) (string, error) {
	s.Helper()
	command := c.Kubectl(ctx, args...)
	command.Stdin = strings.NewReader(stdin)
	out, err := command.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// refuses wants the command-line tool to end with exit code 1 and all of these words.
func (s *spec) refuses(words []string, args ...string) {
	s.Helper()
	_, err := s.Eastway(s.Context(), args...)
	if ended, ok := errors.AsType[*exec.ExitError](err); !ok || ended.ExitCode() != 1 {
		s.Errorf("eastway %s: %v, want exit code 1", strings.Join(args, " "), err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			s.Errorf("eastway %s does not say %q: %v", strings.Join(args, " "), word, err)
		}
	}
}

// finding is a result of `eastway check`.
type finding struct{ Check, Level, Message, Hint string }

// checkup runs `eastway check` for a cluster; it is well when nothing failed.
func (s *spec) checkup(ctx context.Context, c *cluster) (findings []finding, well bool) {
	s.Helper()
	return s.checkupWith(ctx, "--context", c.Name)
}

// checkupWith runs it with these arguments.
func (s *spec) checkupWith(ctx context.Context, args ...string) (findings []finding, well bool) {
	s.Helper()
	out, err := s.Eastway(ctx, append([]string{"check", "-o", "json"}, args...)...)
	var report struct {
		OK      bool
		Results []finding
	}
	if problem := json.Unmarshal([]byte(out), &report); problem != nil {
		s.Fatalf("eastway check: %v, %v: %s", err, problem, out)
	}
	if report.OK != (err == nil) {
		s.Errorf("eastway check says %t, and ends with %v", report.OK, err)
	}
	return report.Results, report.OK
}

// fails wants `eastway check` to find one thing that says all of these words, hint included.
func (s *spec) fails(c *cluster, check string, words ...string) {
	s.Helper()
	s.says(c, check, "failed", words...)
}

// warns is as fails, of a warning.
func (s *spec) warns(c *cluster, check string, words ...string) {
	s.Helper()
	s.says(c, check, "warning", words...)
}

func (s *spec) says(c *cluster, check, level string, words ...string) {
	s.Helper()
	findings, _ := s.checkup(s.Context(), c)
	if !slices.ContainsFunc(findings, func(f finding) bool {
		said := f.Message + "\n" + f.Hint
		return f.Check == check && f.Level == level && f.Hint != "" &&
			!slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) })
	}) {
		s.Errorf("eastway check: no %s of %q with all of %q: %+v", level, check, words, findings)
	}
}

// heals waits until `eastway check` finds nothing that failed, and this check finds nothing about that.
func (s *spec) heals(c *cluster, check, about string) {
	s.Helper()
	s.await("eastway check to be content with "+c.Name, func(ctx context.Context) error {
		findings, well := s.checkup(context.WithoutCancel(ctx), c) // one look of lab.Await may be too short
		for _, f := range findings {
			if f.Level == "failed" || f.Check == check && f.Level != "ok" && strings.Contains(f.Message, about) {
				return fmt.Errorf("%+v", f)
			}
		}
		return same("well", well, true)
	})
}

// calling goes on in the background until it is ended: then each call must have been answered by whom it should.
func (s *spec) calling(c *cluster, address string, right func(answer string) bool) (end func()) {
	s.Helper()
	const batch = "50"
	s.calls(c, manyCalls, address, right) // from now on it works
	var over atomic.Bool
	var done sync.WaitGroup
	var calls int
	var wrong []string
	done.Go(func() {
		for !over.Load() && s.Context().Err() == nil {
			answers, err := s.run(s.Context(), c, "call", "-n", batch, address)
			if err != nil {
				wrong = append(wrong, err.Error())
			}
			for _, answer := range answers {
				if calls++; !right(answer) {
					wrong = append(wrong, answer)
				}
			}
		}
	})
	return sync.OnceFunc(func() {
		s.Helper()
		over.Store(true)
		done.Wait()
		if calls == 0 || len(wrong) > 0 {
			s.Errorf("%s: %d of %d calls of %s went wrong: %.2000q", c.Name, len(wrong), calls, address, wrong)
		}
	})
}

// throughout has the first cluster call a service of the second one; none of the calls may fail until the end.
func (s *spec) throughout() (end func()) {
	s.Helper()
	s.create(s.second, withoutAffinity)
	s.export(s.second)
	end = s.calling(s.first, s.address(helloPort), from(s.second))
	s.Cleanup(end)
	return end
}

// noEndpoints: the export of a Service without pods is an export. A call ends at once, and works when there is a pod.
func noEndpoints(s *spec) {
	s.create(s.first, withoutAffinity, func(service *corev1.Service) { service.Spec.Selector = map[string]string{"app": s.service} })
	s.export(s.first)
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionValid, metav1.ConditionTrue, string(mcsv1alpha1.ServiceExportReasonValid))
	s.condition(s.first, mcsv1alpha1.ServiceExportConditionReady, metav1.ConditionTrue, string(mcsv1alpha1.ServiceExportReasonExported))
	s.everywhere(exportedBy(s.first), hasIPs)
	for _, c := range s.both() {
		s.prints(c, func(lines []string) error {
			for _, line := range lines {
				if !strings.HasPrefix(line, failed) || !strings.Contains(line, "refused") && !strings.Contains(line, "reset") {
					return errors.New("neither refused nor reset")
				}
			}
			return nil
		}, "call", "-n", "5", s.address(helloPort))
	}
	pod := s.pod(s.first)
	for _, c := range s.both() {
		s.calls(c, manyCalls, s.address(helloPort), func(answer string) bool { return strings.Contains(answer, " "+pod.Name+" ") })
	}
}

// pod runs what the others do, and backs the service alone.
func (s *spec) pod(c *cluster) *corev1.Pod {
	s.Helper()
	var like corev1.Pod
	s.must(c.Get(s.Context(), client.ObjectKey{Namespace: s.namespace, Name: "request"}, &like))
	from := &like.Spec.Containers[0]
	pod := &corev1.Pod{ObjectMeta: s.meta(), Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: like.Spec.TerminationGracePeriodSeconds,
		Containers:                    []corev1.Container{{Name: from.Name, Image: from.Image, Args: from.Args, Env: from.Env}},
	}}
	pod.Labels = map[string]string{"app": s.service}
	s.must(c.Create(s.Context(), pod))
	s.Cleanup(func() {
		if err := c.Delete(context.WithoutCancel(s.Context()), pod); err != nil {
			s.Error(err)
		}
	})
	return pod
}
