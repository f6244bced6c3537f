/** A stack as its platform writes it, and what version 1 of grouping makes of it for ever. */
export interface Golden {
  readonly name: string
  readonly stack: string
  readonly fingerprint: string
  readonly secondary: string
  /** Without the code, which is golden/<name>. */
  readonly components: readonly string[]
}

/** Of each platform at least one. A change of any of these is a new version, never an edit. */
export const GOLDEN: readonly Golden[] = [
  {
    name: 'v8',
    stack: [
      "TypeError: Cannot read properties of undefined (reading 'id')",
      '    at Object.getUser [as load] (/app/src/users/service.ts:12:5)',
      '    at async Promise.all (index 0)',
      '    at async UserController.show (/app/src/users/controller.ts:40:3)',
      '    at new Cart (file:///app/src/cart.js:1:2)',
      '    at <anonymous>',
      '    at /app/src/index.js:10:5',
      '    at Layer.handle (/app/node_modules/express/lib/router/layer.js:95:5)',
      '    at node:internal/process/task_queues:95:5',
    ].join('\n'),
    fingerprint: 'v1:b073352d70a5cfddbdd5e375c6b2b3fd',
    secondary: 'v1:139c5d7ed794ec5d48f9b64c594f6da5',
    components: [
      'users/service.ts#load',
      'users/controller.ts#UserController.show',
      'src/cart.js#Cart',
      'src/index.js',
    ],
  },
  {
    name: 'web',
    stack: [
      'Error: x',
      '    at t.value (https://cdn.example.com/static/js/main.4f2a1b3c.chunk.js:2:12345)',
      '    at checkout (https://cdn.example.com/assets/index-BxY3k2_a.js?v=2:1:99)',
      '    at e (https://cdn.example.com/static/js/2.4f2a1b3c.js:1:1)',
    ].join('\n'),
    fingerprint: 'v1:2c6df05f16966d3aeddac09201aff25a',
    secondary: 'v1:2c6df05f16966d3aeddac09201aff25a',
    components: ['main.chunk.js#value', 'index.js#checkout', '*.js'],
  },
  {
    name: 'hermes',
    stack: [
      'Error: boom',
      '    at fetchUser (address at index.android.bundle:1:23456)',
      '    at anonymous (http://localhost:8081/index.bundle?platform=ios&dev=true:1:2)',
      '    at apply (native)',
      '    at tryCallOne (/root/react-native/packages/react-native/InternalBytecode.js:53:16)',
    ].join('\n'),
    fingerprint: 'v1:9eab41e15babd1b4d3c692f4c372ab3b',
    secondary: 'v1:27fdcb5a145f4afcb105a5f7b6cfb864',
    components: ['index.android.bundle#fetchUser', 'index.bundle'],
  },
  {
    name: 'firefox',
    stack: [
      'load@https://example.com/js/app.js:10:5',
      'promise callback*init/<@https://example.com/js/app.js:2:1',
      '@https://example.com/js/app.js:99:1',
    ].join('\n'),
    fingerprint: 'v1:82009a4b1d71e9705314fb6199c997ea',
    secondary: 'v1:82009a4b1d71e9705314fb6199c997ea',
    components: ['app.js#load', 'app.js'],
  },
  {
    name: 'safari',
    stack: [
      'load@https://example.com/js/app.js:10:5',
      'global code@https://example.com/js/app.js:99:1',
      'promiseReactionJob@[native code]',
    ].join('\n'),
    fingerprint: 'v1:4aea54f6315eea7451ad6a59b612dc02',
    secondary: 'v1:c1cd5f5236f1b53724695dbe00563a3c',
    components: ['app.js#load'],
  },
  {
    name: 'python',
    stack: [
      'Traceback (most recent call last):',
      '  File "/srv/app/main.py", line 10, in <module>',
      '    main()',
      '  File "/srv/app/orders/views.py", line 42, in checkout',
      '    total = cart["total"]',
      '  File "/usr/lib/python3.12/site-packages/requests/api.py", line 59, in request',
      '    return session.request()',
      "KeyError: 'total'",
    ].join('\n'),
    fingerprint: 'v1:b438623a74bf19902cb4d8a40e29b5bd',
    secondary: 'v1:8fdc225e040a187f8b1cd088cd7622c6',
    components: ['orders/views.py#checkout', 'app/main.py#<module>'],
  },
  {
    name: 'java',
    stack: [
      'java.lang.IllegalStateException: no cart',
      '\tat com.shop.cart.CartService.checkout(CartService.java:42)',
      '\tat com.shop.cart.CartService$1.run(CartService.java:12)',
      '\tat com.shop.cart.CartService.lambda$main$0(CartService.java:12)',
      '\tat org.springframework.web.Filter.doFilter(Filter.java:100)',
      '\tat java.base/java.lang.Thread.run(Thread.java:840)',
      'Caused by: java.lang.NullPointerException',
      '\t... 12 more',
    ].join('\n'),
    fingerprint: 'v1:14a8f126559c52bf3e2465c8bff6adab',
    secondary: 'v1:f6d721fd2d18d96d846e608dd7bf3ba7',
    components: [
      'cartservice.java#com.shop.cart.CartService.checkout',
      'cartservice.java#com.shop.cart.CartService.run',
      'cartservice.java#com.shop.cart.CartService.lambda$main',
    ],
  },
  {
    name: 'go',
    stack: [
      'goroutine 1 [running]:',
      'main.(*Server).checkout(0xc000010000, 0x1)',
      '\t/home/ci/src/shop/server.go:42 +0x1d',
      'main.main.func1()',
      '\t/home/ci/src/shop/main.go:12 +0x25',
      'net/http.HandlerFunc.ServeHTTP(...)',
      '\t/usr/local/go/src/net/http/server.go:2136',
      'created by main.main in goroutine 1',
      '\t/home/ci/src/shop/main.go:20 +0x99',
    ].join('\n'),
    fingerprint: 'v1:641a92b19b4068dcc2639712c486f43b',
    secondary: 'v1:c4b65e66bc5c2dc329e04ad8600d58fc',
    components: ['shop/server.go#main.(*Server).checkout', 'shop/main.go#main.main'],
  },
  {
    name: 'ruby',
    stack: [
      "/app/models/cart.rb:42:in `block (2 levels) in total'",
      "\tfrom /app/models/cart.rb:12:in 'Cart#checkout'",
      "\tfrom /usr/local/bundle/gems/rack-3.0.0/lib/rack/handler.rb:9:in `call'",
    ].join('\n'),
    fingerprint: 'v1:d6515d5906fe273ecfb6ca86881c1856',
    secondary: 'v1:e91f33ce0206215c39e3106e5120ca3a',
    components: ['models/cart.rb#total', 'models/cart.rb#Cart#checkout'],
  },
  {
    name: 'php',
    stack: [
      '#0 /var/www/app/src/Cart.php(42): App\\Cart->total(Array)',
      '#1 /var/www/app/vendor/laravel/Router.php(12): App\\Http\\{closure}()',
      '#2 [internal function]: strlen()',
      '#3 {main}',
    ].join('\n'),
    fingerprint: 'v1:2523bdca72c4bc2165c3bb0920ccb175',
    secondary: 'v1:a01253f3cea6e43dc580d936af83168f',
    components: ['src/cart.php#App\\Cart->total'],
  },
  {
    name: 'dotnet',
    stack: [
      'System.InvalidOperationException: x',
      '   at Shop.Cart.<CheckoutAsync>d__12.MoveNext() in C:\\src\\Shop\\Cart.cs:line 42',
      '   at Shop.Program.Main(String[] args) in /src/Shop/Program.cs:line 12',
      '   at System.String.Format(String a, Object b)',
    ].join('\n'),
    fingerprint: 'v1:c0bc6950058c58298e03a655f665b04e',
    secondary: 'v1:3f17977de4d61b4a68a9ad0816138f9f',
    components: ['shop/cart.cs#CheckoutAsync', 'shop/program.cs#Shop.Program.Main'],
  },
  {
    name: 'rust',
    stack: [
      '   0: core::panicking::panic',
      '             at /rustc/abc/library/core/src/panicking.rs:52:5',
      '   1: shop::cart::total::{{closure}}::h0123456789abcdef',
      '             at ./src/cart.rs:42:9',
      '   2: shop::main',
      '             at ./src/main.rs:12:5',
    ].join('\n'),
    fingerprint: 'v1:7a4ed1dc0d658da0f8c959d2540e1bd6',
    secondary: 'v1:bf2b73c00fa0f66643412ddbc6caf2b5',
    components: ['src/cart.rs#shop::cart::total', 'src/main.rs#shop::main'],
  },
  {
    name: 'elixir',
    stack: [
      '    (shop 0.1.0) lib/shop/cart.ex:42: Shop.Cart.total/1',
      '    (elixir 1.16.0) lib/enum.ex:987: Enum.map/2',
    ].join('\n'),
    fingerprint: 'v1:c8357c1621b57f3eef1f2def5ddb4f24',
    secondary: 'v1:9b1471437cfe922414c675c975959b26',
    components: ['shop/cart.ex#Shop.Cart.total/1'],
  },
  {
    name: 'ios',
    stack: [
      '0   CoreFoundation                      0x00000001a1b2c3d4 __exceptionPreprocess + 164',
      '1   Shop                                0x0000000104b2c3d4 -[CartController checkout] + 124',
      '2   UIKitCore                           0x00000001a3b2c3d4 -[UIApplication sendAction:to:from:forEvent:] + 96',
    ].join('\n'),
    fingerprint: 'v1:ba2666e4e5e01a74d435c4e78b5ff9f9',
    secondary: 'v1:c328e8fa8934084afa30db972f047349',
    components: ['shop#-[CartController checkout]'],
  },
  {
    name: 'expo',
    stack: [
      'Error: Network request failed',
      '    at anonymous (address at /data/app/com.shop-1/base.apk/assets/index.android.bundle:1:99)',
      '    at loadCart (address at /data/app/com.shop-1/base.apk/assets/index.android.bundle:1:23456)',
    ].join('\n'),
    fingerprint: 'v1:461a21df01b5e235c68fcbfcf35e973c',
    secondary: 'v1:461a21df01b5e235c68fcbfcf35e973c',
    components: ['index.android.bundle', 'index.android.bundle#loadCart'],
  },
  {
    name: 'vite',
    stack: [
      'TypeError: x is null',
      '    at renderCart (http://localhost:5173/src/components/Cart.tsx?t=1700000000000:12:5)',
      '    at renderWithHooks (http://localhost:5173/node_modules/.vite/deps/chunk-ABCD1234.js?v=1:1:1)',
    ].join('\n'),
    fingerprint: 'v1:73f9538da506b34cfc2e3eb5534a6db4',
    secondary: 'v1:2e7499433b555c268a4827be354a36d6',
    components: ['components/cart.tsx#renderCart'],
  },
  {
    name: 'nextjs',
    stack: [
      'ReferenceError: cart is not defined',
      '    at Page (webpack-internal:///(rsc)/./app/cart/page.tsx:10:20)',
      '    at stringify (<anonymous>)',
      '    at /srv/web/.next/server/chunks/412.js:15:1',
    ].join('\n'),
    fingerprint: 'v1:ad3b9bd4ca05bb37475d2873ef79798f',
    secondary: 'v1:52d745aa3021aa3c32ebb55e8ee536a6',
    components: ['cart/page.tsx#Page', 'chunks/*.js'],
  },
  {
    name: 'nodeInternal',
    stack: [
      'Error: listen EADDRINUSE',
      '    at Server.setupListenHandle [as _listen2] (node:net:1817:16)',
      '    at listenInCluster (node:net:1865:12)',
    ].join('\n'),
    fingerprint: 'v1:454f8410ae2a59c462b7151d1c96af58',
    secondary: 'v1:454f8410ae2a59c462b7151d1c96af58',
    components: ['node:net#_listen2', 'node:net#listenInCluster'],
  },
  {
    name: 'kotlin',
    stack: [
      'java.lang.RuntimeException: x',
      '\tat com.shop.CartFragment.onCreate(CartFragment.kt:31)',
      '\tat androidx.fragment.app.Fragment.performCreate(Fragment.java:2981)',
      '\tat android.os.Handler.dispatchMessage(Handler.java:106)',
    ].join('\n'),
    fingerprint: 'v1:10c0a7958d52c0662354ca06d2ec20ca',
    secondary: 'v1:3829d8947aa995f07ef871c6a0e7d7c3',
    components: ['cartfragment.kt#com.shop.CartFragment.onCreate'],
  },
  {
    name: 'minified',
    stack: [
      'TypeError: e is undefined',
      '    at e (https://cdn.example.com/static/js/main.4f2a1b3c.js:1:10)',
      '    at t (https://cdn.example.com/static/js/main.4f2a1b3c.js:1:20)',
    ].join('\n'),
    fingerprint: 'v1:5e4eeff708e757ea6e829d9c9baa94bc',
    secondary: 'v1:5e4eeff708e757ea6e829d9c9baa94bc',
    components: ['main.js', 'Order <int> failed'],
  },
]
