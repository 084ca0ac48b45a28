// read-all: the handler of many a tutorial, which holds each body in memory: read all, new request, copy the fields, write all.
//
//	read-all PORT SOCKET_PATH
package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	var dialer net.Dialer
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", os.Args[2])
		},
		MaxIdleConnsPerHost: 512,
		DisableCompression:  true,
	}}
	handler := func(writer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		onward, err := http.NewRequest(request.Method, "http://engine"+request.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		copyFields(onward.Header, request.Header)
		response, err := client.Do(onward)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadGateway)
			return
		}
		copyFields(writer.Header(), response.Header)
		writer.WriteHeader(response.StatusCode)
		writer.Write(answer)
	}
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
}

func copyFields(to, from http.Header) {
	for name, values := range from {
		for _, value := range values {
			to.Add(name, value)
		}
	}
}
