package entry

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	entryfile "github.com/eastway/eastway/internal/entry/file"
	entrykube "github.com/eastway/eastway/internal/entry/kube"
	"github.com/eastway/eastway/internal/entry/route"
	"github.com/eastway/eastway/internal/entry/status"
	"github.com/eastway/eastway/internal/kubeconfig"
	"github.com/eastway/eastway/internal/version"
)

// defaultLease is the name of the Lease of entries without --service.
const defaultLease = "eastway-entry"

// source is where manifests come from.
type source struct {
	// read gives what is to be served, nil if that is not known yet, and what is wrong.
	read func() (*route.Manifests, []string, error)
	// changed is signaled when there is something new; nil: reading again shows it.
	changed <-chan struct{}
	// run follows until the context ends; nil: there is nothing to follow.
	run func(context.Context)
	// statuses are those that the API server has; nil: there is none, or they are not known yet.
	statuses func() []status.Object
	// writer writes them; nil: they stay.
	writer *status.Writer
	// replicas is how many processes serve the same; nil: this one is alone.
	replicas func() int
	// fault is the line of the log about something that is wrong.
	fault string
}

func (o *options) newSource(log *zap.Logger, reg prometheus.Registerer) (source, error) {
	if !o.kubernetes {
		reader := entryfile.NewReader(o.manifests)
		return source{fault: "manifest is not used as it stands", read: func() (*route.Manifests, []string, error) {
			m, errs, err := reader.Read()
			if err != nil {
				return nil, nil, fmt.Errorf("--manifests: %w", err)
			}
			texts := make([]string, 0, len(errs))
			for _, e := range errs {
				texts = append(texts, e.Error())
			}
			return m, texts, nil
		}}, nil
	}
	where, err := kubeconfig.Load(o.kubeconfig, o.kubeContext)
	if err != nil {
		return source{}, err
	}
	where.UserAgent = "eastway-entry/" + version.Get().Version
	service, err := o.serviceName()
	if err != nil {
		return source{}, err
	}
	s, err := entrykube.New(entrykube.Config{REST: where, Service: service, Namespace: o.namespace})
	if err != nil {
		return source{}, err
	}
	writer, err := o.newWriter(where, service.Name, log, reg)
	if err != nil {
		return source{}, err
	}
	return source{
		fault: "Kubernetes objects are not used as they stand", changed: s.Changed(), run: s.Run, replicas: s.Replicas,
		statuses: s.Statuses, writer: writer,
		read: func() (*route.Manifests, []string, error) {
			m, problems := s.Read()
			return m, problems, nil
		},
	}, nil
}

// newWriter makes what writes statuses, which entries do that have a namespace of their own. Their Lease has the name of their Service.
func (o *options) newWriter(where *rest.Config, lease string, log *zap.Logger, reg prometheus.Registerer) (*status.Writer, error) {
	if o.namespace == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	host, err := os.Hostname() // the pod's name
	if err != nil {
		return nil, fmt.Errorf("entry: name of this host, for the Lease: %w", err)
	}
	return status.New(status.Config{
		REST: where, Lease: types.NamespacedName{Namespace: o.namespace, Name: cmp.Or(lease, defaultLease)},
		Identity: host + "_" + rand.Text(), Log: log.Named("status"), Registerer: reg,
	})
}

// serviceName is that of --service.
func (o *options) serviceName() (types.NamespacedName, error) {
	if o.service == "" {
		return types.NamespacedName{}, nil
	}
	namespace, name, _ := strings.Cut(o.service, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1035Label(name)) > 0 {
		return types.NamespacedName{}, fmt.Errorf("--service %q is not NAMESPACE/NAME of a Service", o.service)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

// validateSource checks the flags that say where manifests come from.
func (o *options) validateSource() error {
	switch {
	case o.manifests == "" && !o.kubernetes:
		return errors.New("--manifests is required: the directory with Gateways, HTTPRoutes and what they refer to (or --kubernetes)")
	case o.manifests != "" && o.kubernetes:
		return errors.New("--manifests excludes --kubernetes: choose one of the two")
	case !o.kubernetes && (o.kubeconfig != "" || o.kubeContext != "" || o.service != "" || o.namespace != ""):
		return errors.New("--kubeconfig, --context, --namespace and --service need --kubernetes")
	}
	if o.namespace != "" && len(validation.IsDNS1123Label(o.namespace)) > 0 {
		return fmt.Errorf("--namespace %q is not the name of a namespace", o.namespace)
	}
	_, err := o.serviceName()
	return err
}
