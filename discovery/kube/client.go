package kube

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// client of the API server: in protobuf for built-in kinds, in JSON for the others.
type client struct {
	http    *http.Client
	typed   map[schema.GroupVersion]rest.Interface
	dynamic dynamic.Interface
}

func newClient(from *rest.Config, resources []*resource) (*client, error) {
	cfg := rest.CopyConfig(from)
	cfg.QPS, cfg.Burst, cfg.RateLimiter = clientQPS, clientBurst, nil
	cfg.WarningHandler = rest.NoWarnings{} // of deprecated versions: the operator cannot do anything about them
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("kube: client of the API server: %w", err)
	}
	c := &client{http: h, typed: map[schema.GroupVersion]rest.Interface{}}
	for _, r := range resources {
		if !r.core {
			continue
		}
		gv := r.versions[0]
		if c.typed[gv], err = typedClient(cfg, gv, h); err != nil {
			return nil, fmt.Errorf("kube: client of the API server for %s: %w", gv, err)
		}
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(cfg, h); err != nil {
		return nil, fmt.Errorf("kube: client of the API server: %w", err)
	}
	return c, nil
}

func typedClient(from *rest.Config, gv schema.GroupVersion, h *http.Client) (rest.Interface, error) {
	cfg := rest.CopyConfig(from)
	cfg.GroupVersion = &gv
	cfg.APIPath = "/apis"
	if gv == corev1.SchemeGroupVersion {
		cfg.APIPath = "/api"
	}
	cfg.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	cfg.ContentType = runtime.ContentTypeProtobuf
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return rest.RESTClientForConfigAndClient(cfg, h)
}

func (c *client) list(ctx context.Context, r *resource, gv schema.GroupVersion, opts metav1.ListOptions) (runtime.Object, error) {
	opts.LabelSelector = r.selector
	if !r.core {
		return c.dynamic.Resource(gv.WithResource(r.name)).List(ctx, opts)
	}
	return c.typed[gv].Get().Resource(r.name).VersionedParams(&opts, scheme.ParameterCodec).Do(ctx).Get()
}

func (c *client) watch(ctx context.Context, r *resource, gv schema.GroupVersion, opts metav1.ListOptions) (watch.Interface, error) {
	opts.LabelSelector = r.selector
	opts.Watch = true
	if !r.core {
		return c.dynamic.Resource(gv.WithResource(r.name)).Watch(ctx, opts)
	}
	return c.typed[gv].Get().Resource(r.name).VersionedParams(&opts, scheme.ParameterCodec).Watch(ctx)
}
