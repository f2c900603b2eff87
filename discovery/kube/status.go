package kube

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Errors are the problems as they are now, by kind and name: of objects, of kinds that cannot be read, of the API server.
func (s *Source) Errors() []Problem {
	problems := s.unreachable()
	s.mu.Lock()
	for _, t := range s.tables {
		for _, found := range t.problems {
			if s.world.relevantProblem(t.kind, found.about) {
				problems = append(problems, found.problems...)
			}
		}
	}
	problems = append(problems, s.world.found()...)
	problems = append(problems, s.keeper.problems()...)
	s.mu.Unlock()
	return sorted(problems)
}

// unreachable are the kinds that cannot be followed at present. If it is the API server that cannot be reached, that is one problem.
func (s *Source) unreachable() []Problem {
	var problems []Problem
	for _, f := range s.feeds {
		if fl := f.failing(); fl != nil && f.own(fl.err) {
			problems = append(problems, f.problem(fl))
		}
	}
	if away := s.away(); away != nil {
		problems = append(problems, away.problem())
	}
	return problems
}

// away is the oldest failure that is about the API server as such; nil if there is none.
func (s *Source) away() (oldest *failure) {
	for _, f := range s.feeds {
		if fl := f.failing(); fl != nil && !f.own(fl.err) && (oldest == nil || fl.since.Before(oldest.since)) {
			oldest = fl
		}
	}
	return oldest
}

// awaySince returns since when the API server cannot be reached; zero if it can.
func (s *Source) awaySince() time.Time {
	if away := s.away(); away != nil {
		return away.since
	}
	return time.Time{}
}

// own is true if an error is about this kind only, and not about the API server as such.
func (*feed) own(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && !apierrors.IsUnauthorized(err) && !apierrors.IsServiceUnavailable(err) &&
		!apierrors.IsTooManyRequests(err) && !apierrors.IsTimeout(err)
}

// problem describes a kind that cannot be listed or watched, and the remedy.
func (f *feed) problem(fl *failure) Problem {
	p := Problem{Kind: f.kind}
	resource := f.name
	if group := f.versions[0].Group; group != "" {
		resource += "." + group
	}
	switch {
	case apierrors.IsForbidden(fl.err):
		p.Message = fmt.Sprintf("the API server does not allow to %s %s: allow the proxy's service account to list and watch it in all "+
			"namespaces, as the chart's ClusterRole does (%s)", fl.verb, resource, reason(fl.err))
	case apierrors.IsNotFound(fl.err):
		p.Message = fmt.Sprintf("the API server does not know %s: install the CustomResourceDefinitions that come with the chart; "+
			"it will be noticed", resource)
	default:
		p.Message = fmt.Sprintf("the API server cannot %s %s, what is known stays in use: %s", fl.verb, resource, reason(fl.err))
	}
	return p
}

// problem of an API server that is away, or does not know us.
func (fl *failure) problem() Problem {
	if apierrors.IsUnauthorized(fl.err) {
		return Problem{Message: fmt.Sprintf("the API server does not accept the credentials of this process, what is known stays in use: "+
			"check its service account or kubeconfig (%s)", reason(fl.err))}
	}
	return Problem{Message: fmt.Sprintf("the API server cannot be reached since %s, what is known stays in use: %s",
		fl.since.UTC().Format(time.RFC3339), reason(fl.err))}
}

// whyNot adds to err why the kind is not known, if that is why.
func (s *Source) whyNot(kind string, err error) error {
	for _, p := range s.unreachable() {
		if p.Kind == kind || p.Kind == "" {
			return fmt.Errorf("%w: %s", err, p)
		}
	}
	return err
}

// report logs what is new among the problems, and counts.
func (s *Source) report() {
	problems := s.Errors()
	now := make(map[Problem]bool, len(problems))
	count := 0
	for _, p := range problems {
		if !p.Warning {
			count++
		}
		same := p
		if p.Name == "" {
			same.Message = "" // it may name another local port each time
		}
		if now[same] = true; s.logged[same] {
			continue
		}
		fields := []zap.Field{
			zap.String("kind", p.Kind), zap.String("namespace", p.Namespace), zap.String("name", p.Name),
			zap.String("field", p.Field), zap.String("reason", p.Message),
		}
		switch {
		case p.Warning:
			s.log.Warn("Kubernetes object is doubtful", fields...)
		case p.Name == "":
			s.log.Error("Kubernetes objects cannot be followed", fields...)
		default:
			s.log.Error("Kubernetes object is not used as it stands", fields...)
		}
	}
	if len(s.logged) > 0 && len(now) == 0 {
		s.log.Info("Kubernetes objects are in order again")
	}
	s.logged = now
	s.metrics.problems.Set(float64(count))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		synced := 0.0
		if t.synced {
			synced = 1
		}
		s.metrics.synced.WithLabelValues(t.name).Set(synced)
		s.metrics.objects.WithLabelValues(t.name).Set(float64(len(t.objects)))
	}
}
