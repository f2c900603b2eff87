package mcs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"

	"github.com/eastway/eastway/e2e/cluster/lab"
)

// spec is one check while it runs.
type spec struct {
	*world
	*testing.T
	// service is the name of what it exports, which nothing else has.
	service string
}

func (w *world) spec(t *testing.T) *spec {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.named++
	return &spec{world: w, T: t, service: fmt.Sprintf("hello-%d", w.named)}
}

func (s *spec) must(err error) {
	s.Helper()
	must(s.T, err)
}

func (s *spec) key() client.ObjectKey {
	return client.ObjectKey{Namespace: s.namespace, Name: s.service}
}

func (s *spec) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: s.service}
}

// fqdn of the service for all clusters.
func (s *spec) fqdn() string { return s.service + "." + s.namespace + ".svc.clusterset.local" }

// create the Service that the suite uses, with changes.
func (s *spec) create(c *cluster, changes ...func(*corev1.Service)) *corev1.Service {
	s.Helper()
	seconds := int32(10)
	service := &corev1.Service{ObjectMeta: s.meta(), Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "hello"},
		Ports: []corev1.ServicePort{
			{Name: "tcp", Port: helloPort, Protocol: corev1.ProtocolTCP},
			{Name: "udp", Port: helloPort, Protocol: corev1.ProtocolUDP},
		},
		SessionAffinity:       corev1.ServiceAffinityClientIP,
		SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}},
	}}
	for _, change := range changes {
		change(service)
	}
	s.must(c.Create(s.Context(), service))
	return service
}

func headless(service *corev1.Service) { service.Spec.ClusterIP = corev1.ClusterIPNone }

func withoutAffinity(service *corev1.Service) {
	service.Spec.SessionAffinity, service.Spec.SessionAffinityConfig = corev1.ServiceAffinityNone, nil
}

// export the service.
func (s *spec) export(c *cluster, changes ...func(*mcsv1alpha1.ServiceExport)) *mcsv1alpha1.ServiceExport {
	s.Helper()
	export := &mcsv1alpha1.ServiceExport{ObjectMeta: s.meta()}
	for _, change := range changes {
		change(export)
	}
	s.must(c.Create(s.Context(), export))
	return export
}

func (s *spec) unexport(c *cluster) {
	s.Helper()
	s.must(c.Delete(s.Context(), &mcsv1alpha1.ServiceExport{ObjectMeta: s.meta()}))
}

// pass the time until the next export is younger: creation is told in seconds.
func (s *spec) pass(older *mcsv1alpha1.ServiceExport) {
	s.Helper()
	s.until(older.CreationTimestamp.Add(time.Second))
}

// until the clock says so.
func (s *spec) until(when time.Time) {
	s.Helper()
	timer := time.NewTimer(time.Until(when))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.Context().Done():
		s.Fatal(s.Context().Err())
	}
}

func (s *spec) await(what string, done func(context.Context) error) {
	s.Helper()
	s.must(lab.Await(s.Context(), what, patience, done))
}

// imported returns the import when it is there and all checks say nil.
func (s *spec) imported(c *cluster, checks ...func(*mcsv1alpha1.ServiceImport) error) *mcsv1alpha1.ServiceImport {
	s.Helper()
	found := &mcsv1alpha1.ServiceImport{}
	s.await("the import of "+s.service+" in "+c.Name, func(ctx context.Context) error {
		*found = mcsv1alpha1.ServiceImport{}
		if err := c.Get(ctx, s.key(), found); err != nil {
			return err
		}
		var errs []error
		for _, check := range checks {
			errs = append(errs, check(found))
		}
		return errors.Join(errs...)
	})
	return found
}

// everywhere does so in both clusters.
func (s *spec) everywhere(checks ...func(*mcsv1alpha1.ServiceImport) error) {
	s.Helper()
	for _, c := range s.both() {
		s.imported(c, checks...)
	}
}

// gone returns when there is no import.
func (s *spec) gone(c *cluster) {
	s.Helper()
	s.await("no import of "+s.service+" in "+c.Name, func(ctx context.Context) error {
		return absent(c.Get(ctx, s.key(), &mcsv1alpha1.ServiceImport{}))
	})
}

func absent(err error) error {
	switch {
	case err == nil:
		return errors.New("it is there")
	case apierrors.IsNotFound(err):
		return nil
	}
	return err
}

// condition returns when the export has it, with a reason; "" is any.
func (s *spec) condition(c *cluster, kind mcsv1alpha1.ServiceExportConditionType, status metav1.ConditionStatus, reason string) {
	s.Helper()
	s.await(fmt.Sprintf("%s=%s of the export of %s in %s", kind, status, s.service, c.Name), func(ctx context.Context) error {
		var export mcsv1alpha1.ServiceExport
		if err := c.Get(ctx, s.key(), &export); err != nil {
			return err
		}
		found := meta.FindStatusCondition(export.Status.Conditions, string(kind))
		if found == nil || found.Status != status || reason != "" && found.Reason != reason {
			return fmt.Errorf("it is %+v, want reason %q", found, reason)
		}
		if found.Message == "" || found.ObservedGeneration != export.Generation {
			return fmt.Errorf("it has no message, or one of another generation: %+v", found)
		}
		return nil
	})
}

// conflict returns when both exports have a condition Conflict, for this reason.
func (s *spec) conflict(reason mcsv1alpha1.ServiceExportConditionReason) {
	s.Helper()
	for _, c := range s.both() {
		s.condition(c, mcsv1alpha1.ServiceExportConditionConflict, metav1.ConditionTrue, string(reason))
	}
}

// slices of the import.
func (s *spec) slices(ctx context.Context, c *cluster) ([]discoveryv1.EndpointSlice, error) {
	var found discoveryv1.EndpointSliceList
	err := c.List(ctx, &found, client.InNamespace(s.namespace), client.MatchingLabels{mcsv1alpha1.LabelServiceName: s.service})
	return found.Items, err
}

// run the pod's program in the pod that calls. It bounds each of its calls itself.
func (s *spec) run(ctx context.Context, c *cluster, args ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // one look of lab.Await is too short for many calls
	defer cancel()
	args = append([]string{"--namespace", s.namespace, "exec", "request", "--", "/hello"}, args...)
	var problems strings.Builder
	command := c.Kubectl(ctx, args...)
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command, err, &problems)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

// prints returns when the program prints what the check accepts.
func (s *spec) prints(c *cluster, check func(lines []string) error, args ...string) {
	s.Helper()
	s.await(c.Name+" to run hello "+strings.Join(args, " "), func(ctx context.Context) error {
		lines, err := s.run(ctx, c, args...)
		if err != nil {
			return err
		}
		if err := check(lines); err != nil {
			return fmt.Errorf("%w: %q", err, lines)
		}
		return nil
	})
}

// exactly these lines, in any order.
func exactly(want ...string) func([]string) error {
	return func(lines []string) error {
		lines = slices.Sorted(slices.Values(lines))
		return same("lines", lines, slices.Sorted(slices.Values(want)))
	}
}

// same is nil for values that mean the same to Kubernetes.
func same(what string, is, want any) error {
	if equality.Semantic.DeepEqual(is, want) {
		return nil
	}
	return fmt.Errorf("%s: %+v, want %+v", what, is, want)
}
