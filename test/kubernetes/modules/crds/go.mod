module weft.dev/test/crds

go 1.26.0

// Only their CRD files are used: there is no Go code here, so do not tidy this module.
require (
	istio.io/api v1.31.1
	sigs.k8s.io/gateway-api v1.6.3
)
