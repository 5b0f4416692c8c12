// Shows the OpenAPI document in the viewer that is served here.
SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  requestInterceptor: (request) => {
    request.headers["X-Requested-With"] = "seqnorm";
    return request;
  },
});
