// reverse: what a Go programmer writes first and usually keeps, net/http/httputil's ReverseProxy.
//
//	reverse PORT SOCKET_PATH
package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
)

func main() {
	var dialer net.Dialer
	proxy := &httputil.ReverseProxy{
		Director: func(request *http.Request) {
			request.URL.Scheme = "http"
			request.URL.Host = "engine"
		},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", os.Args[2])
			},
			// The default of two would have it dial for nearly every request
			MaxIdleConnsPerHost: 512,
			DisableCompression:  true,
		},
		FlushInterval: -1,
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], proxy))
}
