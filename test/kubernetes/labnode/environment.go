package main

import (
	"context"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type variable struct{ name, value string }

// environment is what the kubelet gives a container: values, fields, keys of ConfigMaps and Secrets.
func (c *container) environment() ([]variable, error) {
	list := []variable{{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", "/root"},
		{"HOSTNAME", c.pod.pod.Name}, {"KUBERNETES_SERVICE_HOST", "10.96.0.1"}, {"KUBERNETES_SERVICE_PORT", "443"}}
	for _, from := range c.spec.EnvFrom {
		data, err := c.pod.keysOf(from)
		if err != nil {
			return nil, err
		}
		for name, value := range data {
			list = append(list, variable{from.Prefix + name, value})
		}
	}
	for _, one := range c.spec.Env {
		value, given, err := expand(one.Value, list), true, error(nil)
		if one.ValueFrom != nil {
			value, given, err = c.pod.valueFrom(one.ValueFrom)
		}
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", one.Name, err)
		}
		if given {
			list = append(list, variable{one.Name, value})
		}
	}
	return list, nil
}

func (r *podRun) keysOf(from v1.EnvFromSource) (map[string]string, error) {
	if from.ConfigMapRef != nil {
		return r.configMap(from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
	}
	if from.SecretRef != nil {
		return r.secret(from.SecretRef.Name, from.SecretRef.Optional)
	}
	return nil, nil
}

func (r *podRun) configMap(name string, optional *bool) (map[string]string, error) {
	found, err := r.node.client.CoreV1().ConfigMaps(r.pod.Namespace).Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for key, value := range found.BinaryData {
		data[key] = string(value)
	}
	for key, value := range found.Data {
		data[key] = value
	}
	return data, nil
}

func (r *podRun) secret(name string, optional *bool) (map[string]string, error) {
	found, err := r.node.client.CoreV1().Secrets(r.pod.Namespace).Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && optional != nil && *optional {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for key, value := range found.Data {
		data[key] = string(value)
	}
	return data, nil
}

func (r *podRun) valueFrom(source *v1.EnvVarSource) (string, bool, error) {
	pick := func(data map[string]string, err error, key string, optional *bool) (string, bool, error) {
		value, found := data[key]
		if err == nil && !found && (optional == nil || !*optional) {
			err = fmt.Errorf("there is no key %s", key)
		}
		return value, found, err
	}
	switch {
	case source.FieldRef != nil:
		value, err := r.field(source.FieldRef.FieldPath)
		return value, true, err
	case source.ConfigMapKeyRef != nil:
		data, err := r.configMap(source.ConfigMapKeyRef.Name, source.ConfigMapKeyRef.Optional)
		return pick(data, err, source.ConfigMapKeyRef.Key, source.ConfigMapKeyRef.Optional)
	case source.SecretKeyRef != nil:
		data, err := r.secret(source.SecretKeyRef.Name, source.SecretKeyRef.Optional)
		return pick(data, err, source.SecretKeyRef.Key, source.SecretKeyRef.Optional)
	case source.ResourceFieldRef != nil:
		return "1", true, nil // limits mean nothing here
	}
	return "", false, fmt.Errorf("unknown source")
}

// field is the downward API's.
func (r *podRun) field(path string) (string, error) {
	pod := r.pod
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "metadata.labels":
		return listing(pod.Labels), nil
	case "metadata.annotations":
		return listing(pod.Annotations), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return r.node.options.Address, nil
	case "status.podIP":
		return r.addresses[0], nil
	case "status.podIPs":
		return strings.Join(r.addresses, ","), nil
	}
	if key, found := strings.CutPrefix(path, "metadata.labels['"); found {
		return pod.Labels[strings.TrimSuffix(key, "']")], nil
	}
	if key, found := strings.CutPrefix(path, "metadata.annotations['"); found {
		return pod.Annotations[strings.TrimSuffix(key, "']")], nil
	}
	return "", fmt.Errorf("unknown field %s", path)
}

func listing(pairs map[string]string) string {
	var text strings.Builder
	for key, value := range pairs {
		fmt.Fprintf(&text, "%s=%q\n", key, value)
	}
	return text.String()
}

// expand replaces $(NAME) by what is known, and leaves the rest; $$ is $.
func expand(text string, known []variable) string {
	var result strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' || i+1 == len(text) {
			result.WriteByte(text[i])
			continue
		}
		if text[i+1] == '$' {
			result.WriteByte('$')
			i++
			continue
		}
		end := strings.IndexByte(text[i:], ')')
		if text[i+1] != '(' || end < 0 {
			result.WriteByte('$')
			continue
		}
		name, value, found := text[i+2:i+end], "", false
		for _, one := range known {
			if one.name == name {
				value, found = one.value, true
			}
		}
		if !found {
			value = text[i : i+end+1]
		}
		result.WriteString(value)
		i += end
	}
	return result.String()
}
