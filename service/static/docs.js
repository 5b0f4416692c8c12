// Show the OpenAPI document with Swagger UI.
SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  requestInterceptor: (request) => {
    request.headers["X-Requested-With"] = "seqnorm";
    return request;
  },
});
